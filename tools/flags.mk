# Build flags are part of the law (docs/arithmetic.md 5). No fast-math in any linked object, no contraction.
BITS_FLAGS := -ffp-contract=off -fno-fast-math
WARN_FLAGS := -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wsign-compare -Wconversion -Wno-sign-conversion
CPU_WARN_FLAGS := -Wall -Wextra -Wshadow
ISA_avx2   := -mavx2 -mfma -mf16c -mtune=haswell
ISA_avx512 := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mavx2 -mfma -mf16c -mprefer-vector-width=512
