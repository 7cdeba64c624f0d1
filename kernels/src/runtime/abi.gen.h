// Written by kernels/scripts/gen.mjs from the OP lines. Do not edit.
#pragma once
#define SHAKTI_ABI "ad85566f225e6baa"
