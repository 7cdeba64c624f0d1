// Written by kernels/scripts/gen.mjs from the OP lines. Do not edit.
#pragma once
#define SHAKTI_ABI "f0908a882e1343e3"
