// Vision encoders from Hugging Face checkpoints, as far as the architectures match.
import { join } from 'node:path'
import { FileFormatError, noGrad, type Tensor } from '@shakti/tensor'
import { parseVisionConfig, type VisionConfig } from '../../config.js'
import { VisionEncoder } from '../../vision/encoder.js'
import { readJsonObject } from '../weights.js'
import { openWeights, type ImportOptions } from './decoder.js'
import { encoderFamilies } from './encoders.js'
import { ConfigFields } from './fields.js'
import { applyMapping, familyOf, type ImportReport } from './mapping.js'

export interface ImportVisionOptions extends ImportOptions {
  /**
   * Starts an encoder from what fits: the result computes something else than the checkpoint's, and the report says in what.
   * Default false, which refuses every family there is a table for, naming the differences.
   */
  partial?: boolean
}

/**
 * An encoder, in f32, from a checkpoint of model_type siglip_vision_model or intern_vit_6b (config.json and safetensors).
 * @throws FileFormatError naming the field or tensors without a place, or, unless partial, what would differ
 * @example const { encoder, report } = await importVision('siglip-base-patch16-224', { partial: true })
 */
export async function importVision(
  folder: string,
  options: ImportVisionOptions = {},
): Promise<{ encoder: VisionEncoder; report: ImportReport }> {
  const file = join(folder, 'config.json')
  const record = await readJsonObject(file, 'config')
  const family = familyOf(encoderFamilies, record['model_type'], file)
  const fields = new ConfigFields(record, file)
  const input = family.config(fields)
  fields.finish(options.ignoreFields)
  let config: VisionConfig
  try {
    config = parseVisionConfig(input)
  } catch (error) {
    throw new FileFormatError(file, 'config', (error as Error).message)
  }
  const tensors = await openWeights(folder)
  const made: Tensor[] = []
  try {
    const prefix = Object.keys(tensors).some((name) => name.startsWith('vision_model.'))
      ? 'vision_model.'
      : ''
    const encoder = new VisionEncoder(config)
    const wanted = new Map(
      Object.entries(encoder.stateDict()).map(([name, p]) => [name, p.shape] as const),
    )
    const { state, report } = noGrad(() =>
      applyMapping(record['model_type'] as string, folder, family.rows(prefix), tensors, wanted, {
        partial: options.partial ?? false,
        differences: family.differences,
      }),
    )
    const given = new Set(Object.values(tensors))
    made.push(...Object.values(state).filter((t) => !given.has(t)))
    encoder.loadStateDict(state, { strict: false })
    return { encoder, report }
  } finally {
    for (const t of [...made, ...Object.values(tensors)]) t.dispose()
  }
}
