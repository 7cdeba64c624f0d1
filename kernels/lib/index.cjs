// Finds and loads the addon: what was built here, then what the package brought for this platform.
'use strict'
const { join } = require('node:path')

const tag = `${process.platform}-${process.arch}-${process.versions.modules}`
// A file that is named is the one that is meant.
const candidates = process.env.SHAKTI_KERNELS
  ? [process.env.SHAKTI_KERNELS]
  : [
      join(__dirname, '..', 'build', 'Release', 'shakti.node'),
      join(__dirname, '..', 'prebuilt', tag, 'shakti.node'),
    ]

const problems = []
let addon
for (const file of candidates) {
  try {
    addon = require(file)
    break
  } catch (error) {
    problems.push(
      `  ${file}: ${error.code === 'MODULE_NOT_FOUND' ? 'not there' : error.message.split('\n')[0]}`,
    )
  }
}
if (!addon) {
  throw new Error(
    `@shakti/kernels: no native addon for ${tag} could be loaded.\n${problems.join('\n')}\n` +
      `Build it: in this repository 'npm run build'; in a project that installed the package ` +
      `'node node_modules/@shakti/kernels/scripts/build.mjs' (needs g++, make and python3).`,
  )
}
addon.cudaModules = process.env.SHAKTI_CUDA_MODULES || join(__dirname, '..', 'build', 'cuda')
addon.defaultDevice = process.env.SHAKTI_DEVICE || 'cpu'
module.exports = addon
