/* SPDX-License-Identifier: Apache-2.0
 * Faults on order, for tests: with -DSV_FAULTS, rules in SAMSVAR_FAULT make calls fail or the process die. Without it
 * everything here is nothing.
 * Threads: safe from any thread; sv_fault_set only while no other thread is in base/.
 *
 *     SAMSVAR_FAULT = RULE,RULE,...
 *     file.KIND[:nth=N][:err=NAME]   the N-th call fails (default 1, EIO)
 *     file.KIND:from=N[:err=NAME]    the N-th call and all later ones fail
 *     alloc[:nth=N]                  the N-th sv_mem_large fails with SV_E_NOMEM
 *     die:NAME[:nth=N]               the process ends with code 137 at the N-th sv_fault_point(NAME)
 *
 * KIND is open, read, write, fsync, rename, unlink or mkdir. A process that dies flushes nothing.
 * N counts from 1 per kind or name. A rule that cannot be read aborts: a test that fails nothing would prove nothing.
 */
#ifndef SV_BASE_FAULT_H
#define SV_BASE_FAULT_H

#ifdef SV_FAULTS
void sv_fault_point(const char *name);
/* errno that this call ("file.write", "alloc") must fail with; 0: go on. Counts the call. */
int sv_fault_errno(const char *call);
/* Replaces the rules and zeroes the counts; NULL: none. */
void sv_fault_set(const char *rules);
#else
#define sv_fault_point(name) ((void)0)
#define sv_fault_errno(call) 0
#endif

#endif
