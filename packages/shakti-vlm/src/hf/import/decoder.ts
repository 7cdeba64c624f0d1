// Decoders from Hugging Face checkpoints.
import { join } from 'node:path'
import {
  FileFormatError,
  getDefaultDevice,
  loadSafetensors,
  type DeviceName,
  type DType,
  type Tensor,
} from '@shakti/tensor'
import { meta } from '@shakti/nn'
import { parseDecoderConfig, type DecoderConfig } from '../../config.js'
import { Decoder } from '../../decoder.js'
import { fromHfConfig } from '../config.js'
import { byFile, readJsonObject, readWeights } from '../weights.js'
import { partOf } from './containers.js'
import { decoderRows } from './decoders.js'
import { applyMapping, type ImportReport } from './mapping.js'

export interface ImportOptions {
  /** Fields of config.json that are known to change nothing. */
  ignoreFields?: readonly string[]
}

export interface ImportDecoderOptions extends ImportOptions {
  /** Of all parameters. Default 'keep': that of the checkpoint's embedding. */
  dtype?: 'keep' | DType
  /** Default: the default device. */
  device?: DeviceName
}

/** A checkpoint's decoder: its config and its weights by our names, which map the files. */
export interface DecoderCheckpoint {
  readonly config: DecoderConfig
  readonly state: Readonly<Record<string, Tensor>>
  readonly report: ImportReport
  /** Gives the mappings back. */
  readonly dispose: () => void
}

/** The tensors of a folder, large ones mapped. @param prefix only those below it, without it */
export async function openWeights(folder: string, prefix = ''): Promise<Record<string, Tensor>> {
  const tensors: Record<string, Tensor> = Object.create(null) as Record<string, Tensor>
  try {
    const stored = [...(await readWeights(folder))].filter(([name]) => name.startsWith(prefix))
    for (const [file, names] of byFile(stored)) {
      const opened = loadSafetensors(join(folder, file), { names, device: 'cpu' }).tensors
      for (const [name, t] of Object.entries(opened)) tensors[name.slice(prefix.length)] = t
    }
  } catch (error) {
    for (const t of Object.values(tensors)) t.dispose()
    throw error
  }
  return tensors
}

const shapesOf = (config: DecoderConfig): Map<string, readonly number[]> =>
  new Map(
    Object.entries(meta(() => new Decoder(config)).stateDict()).map(([name, p]) => [name, p.shape]),
  )

interface Described {
  /** Whose table maps the names. */
  readonly name: string
  readonly config: DecoderConfig
  /** Parameters of `self_attn`. */
  readonly attention: readonly string[]
  /** Of the decoder's tensors. */
  readonly prefix: string
}

/** What config.json says of the decoder. */
function describe(json: Record<string, unknown>, file: string, options: ImportOptions): Described {
  if (json['model_type'] === 'shakti_vlm') {
    if (json['quantization_config'] !== undefined && json['quantization_config'] !== null)
      throw new FileFormatError(
        file,
        'quantization_config',
        'is there: take the folder that the quantised one was made of',
      )
    const config = fromHfConfig(json, file).decoder
    const attention = ownAttention(config)
    return { name: 'shakti_vlm', config, attention, prefix: 'language_model.' }
  }
  const { family, fields, modelType, prefix } = partOf(json, file, 'decoder')
  const input = family.config(fields)
  fields.finish(options.ignoreFields)
  try {
    const config = parseDecoderConfig(input)
    return { name: modelType, config, attention: family.attention, prefix }
  } catch (error) {
    throw new FileFormatError(file, 'config', (error as Error).message)
  }
}

/**
 * The config of a folder's decoder, from config.json alone.
 * @throws FileFormatError naming the field that our decoder has no place for
 */
export async function decoderConfigOf(
  folder: string,
  options: ImportOptions = {},
): Promise<DecoderConfig> {
  const file = join(folder, 'config.json')
  return describe(await readJsonObject(file, 'config'), file, options).config
}

/**
 * Opens the decoder of a folder: a checkpoint of a family in `decoderFamilies`, one that holds such a decoder (LLaVA, InternVL),
 * or a Shakti-VLM. No weight is read yet.
 * @throws FileFormatError naming the field of config.json, or the tensors, that our decoder has no place for
 */
export async function openDecoder(
  folder: string,
  options: ImportOptions = {},
): Promise<DecoderCheckpoint> {
  const file = join(folder, 'config.json')
  const json = await readJsonObject(file, 'config')
  const { name, config, attention, prefix } = describe(json, file, options)
  const tensors = await openWeights(folder, prefix)
  const dispose = (): void => {
    for (const t of Object.values(tensors)) t.dispose()
  }
  try {
    const model = tensors['embed_tokens.weight'] ? '' : 'model.'
    const rows = decoderRows(attention, model, config.tied)
    const { state, report } = applyMapping(name, folder, rows, tensors, shapesOf(config))
    // No row of these tables converts: these are the tensors themselves.
    const own = Object.entries(state).map(([name, t]) => [name, t.make() as Tensor] as const)
    return { config, dispose, state: Object.fromEntries(own), report }
  } catch (error) {
    dispose()
    throw error
  }
}

const ownAttention = (config: DecoderConfig): string[] => [
  ...['q_proj', 'k_proj', 'v_proj', 'o_proj'].map((name) => `${name}.weight`),
  ...(config.attentionBias ? ['q_proj', 'k_proj', 'v_proj'].map((name) => `${name}.bias`) : []),
  ...(config.qkNorm === 'head' ? ['q_norm.weight', 'k_norm.weight'] : []),
]

/**
 * A decoder from a Hugging Face checkpoint (config.json and safetensors, in shards or not) of model_type llama, mistral, qwen2
 * or qwen3, or the decoder of a LLaVA, an InternVL or a Shakti-VLM.
 * @throws FileFormatError naming the field of config.json, or the tensors, that our decoder has no place for
 * @example const { decoder, report } = await importDecoder('Qwen3-0.6B')
 */
export async function importDecoder(
  folder: string,
  options: ImportDecoderOptions = {},
): Promise<{ decoder: Decoder; report: ImportReport }> {
  const { config, state, report, dispose } = await openDecoder(folder, options)
  try {
    const found = state['model.embed_tokens.weight']!.dtype
    const { dtype = 'keep' } = options
    const decoder = meta(() => new Decoder(config))
    decoder.to({ dtype: dtype === 'keep' ? found : dtype })
    decoder.loadStateDict({ ...state })
    decoder.to({ device: options.device ?? getDefaultDevice() })
    return { decoder, report }
  } finally {
    dispose()
  }
}
