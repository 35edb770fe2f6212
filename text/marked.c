/* SPDX-License-Identifier: Apache-2.0
 * Strings with marks: bytes and the runs that say who wrote them.
 */
#include "text/marked.h"

#include "base/mem.h"

void sv_marked_add(sv_marked *m, sv_str text, bool trusted)
{
    if (text.n == 0)
        return;
    sv_bytes_add(&m->text, text.p, text.n);
    if (m->n_run > 0 && m->run[m->n_run - 1].trusted == trusted) {
        m->run[m->n_run - 1].end = m->text.n;
        return;
    }
    sv_run r = { m->text.n, trusted };
    SV_PUSH(m->run, m->n_run, m->cap_run, r);
}

void sv_marked_clear(sv_marked *m)
{
    sv_bytes_clear(&m->text);
    m->n_run = 0;
}

void sv_marked_done(sv_marked *m)
{
    sv_bytes_done(&m->text);
    sv_mem_free(m->run);
    *m = (sv_marked){ 0 };
}
