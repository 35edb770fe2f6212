/* SPDX-License-Identifier: Apache-2.0
 * maze: a grid of 5 x 5 cells, 0 free and 1 wall; find a way from the first cell to the last. Moves are named as on a
 * number pad: 2 up, 4 left, 6 right, 8 down. Any legal way is right. Held out by the grid and its mirror image.
 */
#include <string.h>

#include "train/task_impl.h"

#define SIDE 5
#define CELLS (SIDE * SIDE)
#define N_TEXT (SIDE * (SIDE + 1) - 1) /* rows and the commas between them */
#define MAX_MOVES 32u
#define WALLS 3u /* one cell in so many is a wall */

typedef struct maze {
    uint8_t wall[CELLS];
} maze;

typedef struct path {
    char move[CELLS + 1];
    uint8_t cell[CELLS + 1]; /* before move k; the goal behind the last */
    uint32_t n;
} path;

/* The cell that a move leads to; -1: out of the grid or a wall. */
static int go(const maze *m, int cell, char move)
{
    int r = cell / SIDE, c = cell % SIDE;
    r += move == '8' ? 1 : move == '2' ? -1 : 0;
    c += move == '6' ? 1 : move == '4' ? -1 : 0;
    if ((move != '2' && move != '4' && move != '6' && move != '8') || r < 0 || r >= SIDE || c < 0 || c >= SIDE)
        return -1;
    return m->wall[r * SIDE + c] ? -1 : r * SIDE + c;
}

/* A shortest way, by distance to the goal; of equal ones the first of 8, 6, 4, 2. False: there is none. */
static bool find_path(const maze *m, path *out)
{
    uint8_t far[CELLS], queue[CELLS];
    uint32_t n = 1;
    memset(far, 255, sizeof far);
    far[CELLS - 1] = 0;
    queue[0] = CELLS - 1;
    for (uint32_t at = 0; at < n; at++)
        for (int k = 0; k < 4; k++) {
            int next = go(m, queue[at], "8642"[k]);
            if (next < 0 || far[next] != 255)
                continue;
            far[next] = (uint8_t)(far[queue[at]] + 1);
            queue[n++] = (uint8_t)next;
        }
    if (far[0] == 255 || m->wall[0])
        return false;
    int cell = 0;
    for (out->n = 0; far[cell] > 0; out->n++) {
        int k = 0, next = go(m, cell, '8');
        while (next < 0 || far[next] != far[cell] - 1)
            next = go(m, cell, "8642"[++k]);
        out->cell[out->n] = (uint8_t)cell;
        out->move[out->n] = "8642"[k];
        cell = next;
    }
    out->cell[out->n] = (uint8_t)cell;
    return true;
}

/* ---- problems ---- */

static void write_maze(const maze *m, bool mirrored, char text[N_TEXT])
{
    for (int r = 0; r < SIDE; r++)
        for (int c = 0; c <= SIDE && r * (SIDE + 1) + c < N_TEXT; c++)
            text[r * (SIDE + 1) + c] = c == SIDE ? ',' : (char)('0' + m->wall[mirrored ? c * SIDE + r : r * SIDE + c]);
}

static bool is_held_out(const maze *m)
{
    char text[N_TEXT], mirror[N_TEXT];
    write_maze(m, false, text);
    write_maze(m, true, mirror);
    return sv_task_is_held_out((sv_str){ memcmp(text, mirror, N_TEXT) < 0 ? text : mirror, N_TEXT });
}

static maze find(uint64_t seed, sv_split split, uint32_t i)
{
    for (uint32_t attempt = 0;; attempt++) {
        maze m = { { 0 } };
        path p;
        for (uint32_t k = 1; k + 1 < CELLS; k++) {
            sv_philox w = sv_philox_at(seed, SV_STREAM_TASK, (uint32_t)split, i, attempt * CELLS + k);
            m.wall[k] = sv_task_draw(w.w[0], WALLS) == 0;
        }
        if (is_held_out(&m) == (split == SV_SPLIT_TEST) && find_path(&m, &p))
            return m;
    }
}

static void put_maze(const maze *m, sv_bytes *out)
{
    char text[N_TEXT];
    write_maze(m, false, text);
    sv_bytes_add(out, text, N_TEXT);
    sv_bytes_char(out, ':');
}

static void problem(uint64_t seed, sv_split split, uint32_t i, sv_bytes *out)
{
    maze m = find(seed, split, i);
    put_maze(&m, out);
}

static bool read_maze(sv_str text, maze *out)
{
    path p;
    text = sv_task_bare(text);
    if (text.n != N_TEXT)
        return false;
    for (int k = 0; k < N_TEXT; k++) {
        int r = k / (SIDE + 1), c = k % (SIDE + 1);
        if (c == SIDE ? text.p[k] != ',' : text.p[k] != '0' && text.p[k] != '1')
            return false;
        if (c < SIDE)
            out->wall[r * SIDE + c] = text.p[k] == '1';
    }
    return !out->wall[CELLS - 1] && find_path(out, &p);
}

/* ---- rows ---- */

/* Cells of the way as row and column, "00,10,11 ...;" */
static void work(const path *p, sv_bytes *out)
{
    for (uint32_t k = 0; k <= p->n; k++)
        sv_bytes_printf(out, "%d%d%c", p->cell[k] / SIDE, p->cell[k] % SIDE, k < p->n ? ',' : ';');
}

static void write_answer(const path *p, sv_bytes *out)
{
    sv_bytes_printf(out, "</think><answer>%.*s</answer>", (int)p->n, p->move);
}

static bool solve(sv_str text, sv_bytes *completion, sv_bytes *answer)
{
    maze m;
    path p;
    if (!read_maze(text, &m) || !find_path(&m, &p))
        return false;
    if (completion != NULL) {
        work(&p, completion);
        write_answer(&p, completion);
    }
    if (answer != NULL)
        sv_bytes_add(answer, p.move, p.n);
    return true;
}

static void row(uint64_t seed, uint32_t step, uint32_t r, double worked, sv_bytes *message, sv_bytes *completion)
{
    sv_philox w = sv_philox_at(seed, SV_STREAM_PROMPT, step, r, 0);
    maze m = find(seed, SV_SPLIT_TRAIN, sv_task_draw(w.w[0], sv_task_maze.n_train));
    path p;
    put_maze(&m, message);
    if (!find_path(&m, &p))
        return;
    if ((double)sv_philox_uniform(w.w[1]) < worked)
        work(&p, completion);
    write_answer(&p, completion);
}

/* ---- judging ---- */

static bool are_moves(sv_str text)
{
    for (size_t k = 0; k < text.n; k++)
        if (text.p[k] == '\0' || strchr("2468", text.p[k]) == NULL)
            return false;
    return text.n > 0 && text.n <= MAX_MOVES;
}

static bool leads(const maze *m, const char *move, size_t n)
{
    int cell = 0;
    for (size_t k = 0; k < n && cell >= 0; k++)
        cell = go(m, cell, move[k]);
    return cell == CELLS - 1;
}

static sv_verdict verify(sv_str text, sv_str output, bool ended, bool one_answer)
{
    maze m;
    sv_str found;
    sv_verdict v;
    if (!read_maze(text, &m))
        return SV_VERDICT_UNSUPPORTED;
    if (!sv_task_block(output, ended, one_answer, &found, &v))
        return v;
    if (!are_moves(found))
        return SV_VERDICT_MALFORMED;
    return leads(&m, found.p, found.n) ? SV_VERDICT_CORRECT : SV_VERDICT_WELL_FORMED;
}

static bool answer(sv_str text, sv_str output, sv_bytes *out)
{
    sv_str found;
    (void)text;
    if (!sv_task_answer(output, false, &found) || !are_moves(found))
        return false;
    sv_bytes_add(out, found.p, found.n);
    return true;
}

/* Four moves right and four down in a random order: each of the 70 orders is a set of four bits of eight. */
static double blind(sv_str text)
{
    maze m;
    uint32_t right = 0, all = 0;
    if (!read_maze(text, &m))
        return 0;
    for (uint32_t set = 0; set < 256; set++) {
        char move[8];
        uint32_t n = 0;
        for (uint32_t k = 0; k < 8; k++) {
            n += set >> k & 1;
            move[k] = set >> k & 1 ? '6' : '8';
        }
        if (n != SIDE - 1)
            continue;
        all++;
        right += leads(&m, move, 8);
    }
    return (double)right / all;
}

const sv_task sv_task_maze = {
    .name = "maze",
    .n_train = 60000,
    .n_test = 300,
    .problem = problem,
    .row = row,
    .solve = solve,
    .verify = verify,
    .answer = answer,
    .blind = blind,
    .n_force = 1,
    .max_tokens = 110,
    .tokenizer_json = sv_task_tokenizer_json,
    .tokenizer_config = sv_task_tokenizer_config,
    .config = sv_task_config,
};
