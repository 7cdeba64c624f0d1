// Vision encoders from Hugging Face checkpoints, as far as the architectures match.
import { join } from 'node:path'
import { FileFormatError, type TensorSource } from '@shakti/tensor'
import { meta } from '@shakti/nn'
import { parseVisionConfig, type VisionConfig } from '../../config.js'
import { VisionEncoder } from '../../vision/encoder.js'
import { fromHfConfig } from '../config.js'
import { readJsonObject } from '../weights.js'
import { partOf } from './containers.js'
import { openWeights, type ImportOptions } from './decoder.js'
import { applyMapping, type ImportReport, type MappingRow } from './mapping.js'

export interface ImportVisionOptions extends ImportOptions {
  /**
   * Starts an encoder from what fits: the result computes something else than the checkpoint's, and the report says in what.
   * Default false, which refuses every public family, naming the differences.
   */
  partial?: boolean
}

/** A checkpoint's encoder: its config and the sources of its weights by our names. */
export interface EncoderCheckpoint {
  readonly config: VisionConfig
  readonly state: Readonly<Record<string, TensorSource>>
  readonly report: ImportReport
  /** Gives the mapped files back. */
  readonly dispose: () => void
}

/** The parameters of an encoder. */
const outline = (config: VisionConfig): Map<string, readonly number[]> =>
  new Map(
    Object.entries(meta(() => new VisionEncoder(config)).stateDict()).map(([n, p]) => [n, p.shape]),
  )

interface Described {
  readonly name: string
  readonly config: VisionConfig
  readonly rows: (prefix: string) => MappingRow[]
  readonly differences: readonly string[]
  readonly prefix: string
}

/** What config.json says of the encoder. */
function describe(json: Record<string, unknown>, file: string, options: ImportOptions): Described {
  if (json['model_type'] === 'shakti_vlm') {
    const config = fromHfConfig(json, file).vision
    const rows = (): MappingRow[] => [...outline(config).keys()].map((n) => ({ from: n, to: n }))
    return { name: 'shakti_vlm', config, rows, differences: [], prefix: 'vision_tower.' }
  }
  const { family, fields, modelType, prefix } = partOf(json, file, 'encoder')
  const input = family.config(fields)
  fields.finish(options.ignoreFields)
  try {
    return { ...family, name: modelType, config: parseVisionConfig(input), prefix }
  } catch (error) {
    throw new FileFormatError(file, 'config', (error as Error).message)
  }
}

/**
 * Opens the encoder of a folder: a checkpoint of a family in `encoderFamilies`, one that holds such an encoder (SigLIP with its
 * text tower, LLaVA, InternVL), or a Shakti-VLM. No weight is read yet.
 * @throws FileFormatError as `importVision`
 */
export async function openVision(
  folder: string,
  options: ImportVisionOptions = {},
): Promise<EncoderCheckpoint> {
  const file = join(folder, 'config.json')
  const json = await readJsonObject(file, 'config')
  const { name, config, rows, differences, prefix } = describe(json, file, options)
  const tensors = await openWeights(folder, prefix)
  const dispose = (): void => {
    for (const t of Object.values(tensors)) t.dispose()
  }
  try {
    const within = Object.keys(tensors).some((key) => key.startsWith('vision_model.'))
    const { state, report } = applyMapping(
      name,
      folder,
      rows(within ? 'vision_model.' : ''),
      tensors,
      outline(config),
      { partial: options.partial ?? false, differences },
    )
    return { config, state, report, dispose }
  } catch (error) {
    dispose()
    throw error
  }
}

/**
 * An encoder, in f32, from a Hugging Face checkpoint (config.json and safetensors) of model_type siglip_vision_model,
 * siglip2_vision_model, internvl_vision or intern_vit_6b, or the encoder of a SigLIP, LLaVA, InternVL or Shakti-VLM.
 * @throws FileFormatError naming the field or tensors without a place, or, unless partial, what would differ
 * @example const { encoder, report } = await importVision('siglip-base-patch16-224', { partial: true })
 */
export async function importVision(
  folder: string,
  options: ImportVisionOptions = {},
): Promise<{ encoder: VisionEncoder; report: ImportReport }> {
  const { config, state, report, dispose } = await openVision(folder, options)
  try {
    const encoder = new VisionEncoder(config)
    for (const [name, source] of Object.entries(state)) {
      const t = await source.make()
      encoder.loadStateDict({ [name]: t }, { strict: false })
      t.dispose()
    }
    return { encoder, report }
  } finally {
    dispose()
  }
}
