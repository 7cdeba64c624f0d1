// The image processor of a model's folder.
import { join } from 'node:path'
import { FileFormatError } from '@shakti/tensor'
import { ImageProcessor, type ImageLimits } from '../processor/image.js'
import { fromHfPreprocessor } from '../processor/preprocessor.js'
import { fromHfConfig } from './config.js'
import { readJson } from './weights.js'

/**
 * Reads preprocessor_config.json, and config.json to see that the model can take what the processor makes.
 * @throws FileFormatError naming the file and the field that does not fit
 */
export async function processorFromPretrained(
  folder: string,
  limits: ImageLimits = {},
): Promise<ImageProcessor> {
  const file = join(folder, 'preprocessor_config.json')
  const config = fromHfPreprocessor(await readJson(file), file)
  const modelFile = join(folder, 'config.json')
  const { vision, projector } = fromHfConfig(await readJson(modelFile), modelFile)
  const refuse = (field: string, problem: string): never => {
    throw new FileFormatError(file, field, `${problem}, as config.json says`)
  }
  const stranger = config.vision.patchSizes.find((p) => !vision.patchSizes.includes(p))
  if (stranger !== undefined)
    refuse('patch_sizes', `holds ${stranger}; the model has ${vision.patchSizes.join(', ')}`)
  if (config.vision.maxPatches > vision.maxPatches)
    refuse('max_patches', `is ${config.vision.maxPatches}; the model takes ${vision.maxPatches}`)
  if (config.merge !== projector.merge)
    refuse('merge_size', `is ${config.merge}; the model merges ${projector.merge}`)
  return new ImageProcessor(config, limits)
}
