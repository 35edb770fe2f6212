# Build flags are part of the law (docs/arithmetic.md, section 5): no fast-math in any linked object, no contraction.
BITS_FLAGS := -ffp-contract=off -fno-fast-math
WARN_FLAGS := -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wsign-compare \
              -Wconversion -Wno-sign-conversion
# Kernel texts widen and narrow on purpose.
CHIP_WARN_FLAGS := -Wall -Wextra -Wshadow -Wsign-compare
ISA_avx2   := -mavx2 -mfma -mf16c
ISA_avx512 := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mavx2 -mfma -mf16c
ISA_neondot := -march=armv8.2-a+dotprod
