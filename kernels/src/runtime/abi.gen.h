// Written by kernels/scripts/gen.mjs from the OP lines. Do not edit.
#pragma once
#define SHAKTI_ABI "1d0d593b430f09d2"
