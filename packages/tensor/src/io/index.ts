export { tensorBytes, writeAtomically } from './file.js'
export { loadNpy, saveNpy } from './npy.js'
export {
  loadSafetensors,
  readSafetensorsHeader,
  saveSafetensors,
  type LoadOptions,
  type SafetensorsEntry,
  type SafetensorsHeader,
} from './safetensors.js'
