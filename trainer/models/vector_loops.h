// For long loops over numbers: compiled for the vector instructions of several processors, of which
// the program takes the best that it finds. Multiplications and additions may be one rounding or
// two, so last digits depend on the processor.
#pragma once

// Of a function, not of a template.
#define STRATA_CLONES __attribute__((target_clones("default", "arch=haswell", "avx512f")))
// Of what such a function calls: it must be compiled with it.
#define STRATA_INLINE inline __attribute__((always_inline))
