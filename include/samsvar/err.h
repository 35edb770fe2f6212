/* SPDX-License-Identifier: Apache-2.0
 * Errors: one enum, its names, texts and exit codes, from one list. Shared with plug-ins.
 */
#ifndef SAMSVAR_ERR_H
#define SAMSVAR_ERR_H

/*        name         value exit  meaning */
#define SV_ERR_LIST(X) \
    X(ARG, -1, 2, "used wrongly: a flag, a recipe key or an argument is off") \
    X(SHAPE, -2, 3, "tensor shapes do not fit together") \
    X(DTYPE, -3, 3, "an item type that this operation does not take") \
    X(FORMAT, -4, 3, "a file is damaged or lies about itself") \
    X(UNSUPPORTED, -5, 3, "a valid file asks for something that is not built") \
    X(NOTFOUND, -6, 3, "a file or name does not exist") \
    X(LIMIT, -7, 3, "a size, count or depth is above its limit") \
    X(IO, -8, 1, "reading or writing failed") \
    X(NOSPACE, -9, 1, "the disk is full") \
    X(NOMEM, -10, 1, "not enough memory for a large block") \
    X(CHIP, -11, 4, "no such chip, or the chip or its driver failed") \
    X(BITS, -12, 5, "answers differ where they must be equal") \
    X(GUARD, -13, 6, "stopped by a guard or a signal; a checkpoint is saved") \
    X(CANCELLED, -14, 130, "interrupted; nothing saved") \
    X(BUSY, -15, 1, "a queue or a budget is full; try again later") \
    X(INTERNAL, -16, 1, "a broken promise inside samsvar; please report it") \
    X(GATE, -17, 1, "a release criterion is missed")

typedef enum sv_err {
    SV_OK = 0,
#define SV_ERR_ENUM(name, value, exit_code, text) SV_E_##name = value,
    SV_ERR_LIST(SV_ERR_ENUM)
#undef SV_ERR_ENUM
} sv_err;

#endif
