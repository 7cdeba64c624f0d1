// Written by kernels/scripts/gen.mjs from the OP lines. Do not edit.
#pragma once
#define SHAKTI_ABI "5b0860b41bd979b2"
