export { tensorBytes, writeAtomically } from './file.js'
export { loadNpy, saveNpy } from './npy.js'
export {
  loadSafetensors,
  readSafetensorsHeader,
  saveSafetensors,
  type LoadOptions,
  type SafetensorsEntry,
  type SafetensorsHeader,
  type TensorSource,
} from './safetensors.js'
