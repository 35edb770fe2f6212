/* SPDX-License-Identifier: Apache-2.0
 * The list of built-in tasks.
 */
#include "train/task.h"

#include <string.h>

static const sv_task *const tasks[] = { &sv_task_chain100, &sv_task_countdown3, &sv_task_add,   &sv_task_sort,
                                        &sv_task_maze,     &sv_task_reverse,    &sv_task_parity };

const sv_task *sv_task_find(const char *name)
{
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++)
        if (strcmp(tasks[i]->name, name) == 0)
            return tasks[i];
    return NULL;
}

const sv_task *sv_task_at(uint32_t i)
{
    return i < sizeof tasks / sizeof *tasks ? tasks[i] : NULL;
}

const char *sv_task_names(void)
{
    return "chain100, countdown-3, add, sort, maze, reverse, parity";
}

const char *sv_verdict_name(sv_verdict v)
{
    static const char *const name[] = { "correct", "well-formed", "malformed", "truncated", "unsupported" };
    return (unsigned)v < sizeof name / sizeof *name ? name[v] : "?";
}
