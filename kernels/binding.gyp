{
  "variables": {
    "flags": ["-O3", "-std=gnu++17", "-fvisibility=hidden", "-fno-math-errno", "-ffp-contract=off", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-psabi", "-Wno-maybe-uninitialized", "-Wno-uninitialized"],
    "kernel_flags": ["-fno-exceptions", "-fno-rtti"]
  },
  "target_defaults": {
    "cflags!": ["-O2", "-g", "-fno-omit-frame-pointer"],
    "cflags_cc!": ["-std=gnu++17", "-fno-rtti", "-fno-exceptions"],
    "cflags_cc": ["<@(flags)"],
    "conditions": [["target_arch=='x64'", { "defines": ["SHAKTI_X86"] }]]
  },
  "targets": [
    {
      "target_name": "kernels_portable",
      "type": "static_library",
      "defines": ["SHAKTI_ISA=portable"],
      "cflags_cc": ["<@(kernel_flags)"],
      "sources": ["<!@(node scripts/sources.mjs kernels)"]
    },
    {
      "target_name": "shakti",
      "dependencies": ["kernels_portable"],
      "include_dirs": ["<!(node scripts/sources.mjs nan)"],
      "sources": ["<!@(node scripts/sources.mjs addon)"],
      "cflags_cc": ["-frtti", "-fexceptions"],
      "ldflags": ["-Wl,--whole-archive", "-Wl,-z,nodelete"],
      "libraries": ["-Wl,--no-whole-archive"],
      "conditions": [["target_arch=='x64'", { "dependencies": ["kernels_avx2", "kernels_avx512"] }]]
    }
  ],
  "conditions": [
    [
      "target_arch=='x64'",
      {
        "targets": [
          {
            "target_name": "kernels_avx2",
            "type": "static_library",
            "defines": ["SHAKTI_ISA=avx2"],
            "cflags_cc": ["<@(kernel_flags)", "-mavx2", "-mfma", "-mf16c", "-mbmi2"],
            "sources": ["<!@(node scripts/sources.mjs kernels)"]
          },
          {
            "target_name": "kernels_avx512",
            "type": "static_library",
            "defines": ["SHAKTI_ISA=avx512"],
            "cflags_cc": ["<@(kernel_flags)", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma", "-mf16c", "-mbmi2", "-mprefer-vector-width=512"],
            "sources": ["<!@(node scripts/sources.mjs kernels)"]
          }
        ]
      }
    ]
  ]
}
