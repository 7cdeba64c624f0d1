// Written by kernels/scripts/gen.mjs from the OP lines. Do not edit.
#pragma once
#define SHAKTI_ABI "a55f77fab939b431"
