// Checkpoints in which a decoder or an encoder is one part among others: where its config stands and how its tensors begin.
import { FileFormatError } from '@shakti/tensor'
import { part } from '../config.js'
import { decoderFamilies } from './decoders.js'
import { encoderFamilies } from './encoders.js'
import { ConfigFields } from './fields.js'

export type PartName = 'decoder' | 'encoder'

/** Field of config.json, and what the names of the part's tensors begin with. */
type Place = readonly [field: string, prefix: string]

const containers: Readonly<Record<string, Readonly<Partial<Record<PartName, Place>>>>> = {
  siglip: { encoder: ['vision_config', 'vision_model.'] },
  siglip2: { encoder: ['vision_config', 'vision_model.'] },
  llava: {
    decoder: ['text_config', 'language_model.'],
    encoder: ['vision_config', 'vision_tower.'],
  },
  internvl: {
    decoder: ['text_config', 'language_model.'],
    encoder: ['vision_config', 'vision_tower.'],
  },
  internvl_chat: {
    decoder: ['llm_config', 'language_model.'],
    encoder: ['vision_config', 'vision_model.'],
  },
}

const families = { decoder: decoderFamilies, encoder: encoderFamilies }

/** A part of a checkpoint. */
export interface CheckpointPart<F> {
  /** Its own model_type. */
  readonly modelType: string
  readonly family: F
  readonly fields: ConfigFields
  /** Of its tensors' names. */
  readonly prefix: string
}

/** Whether there is such a part, of whatever family. */
export const hasPart = (json: Readonly<Record<string, unknown>>, name: PartName): boolean => {
  const type = json['model_type']
  if (typeof type !== 'string') return false
  if (type === 'shakti_vlm' || Object.hasOwn(families[name], type)) return true
  return Object.hasOwn(containers, type) && containers[type]![name] !== undefined
}

/**
 * The decoder or the encoder of a checkpoint, which may be all of it.
 * @param json config.json
 * @throws FileFormatError for a model_type without one, or of no family that there is a table for
 */
export function partOf<N extends PartName>(
  json: Readonly<Record<string, unknown>>,
  file: string,
  name: N,
): CheckpointPart<(typeof families)[N][string]> {
  const type = json['model_type']
  const place =
    typeof type === 'string' && Object.hasOwn(containers, type)
      ? containers[type]![name]
      : undefined
  const [field, prefix] = place ?? ['', '']
  const own = place ? part(file, { ...json }, field) : json
  // What a container says of both parts counts for each.
  const shared = Object.fromEntries(
    ['quantization_config', ...(name === 'decoder' ? ['tie_word_embeddings'] : [])]
      .filter((f) => place && json[f] !== undefined && json[f] !== null)
      .map((f) => [f, json[f]]),
  )
  const modelType = own['model_type']
  const table = families[name] as Readonly<Record<string, (typeof families)[N][string]>>
  if (typeof modelType !== 'string' || !Object.hasOwn(table, modelType)) {
    const inside = Object.keys(containers).filter((c) => containers[c]![name])
    throw new FileFormatError(
      file,
      place ? `${field}.model_type` : 'model_type',
      `is ${JSON.stringify(modelType)}; there are tables for ${[...Object.keys(table), ...(place ? [] : inside)].join(', ')}`,
    )
  }
  return {
    modelType,
    family: table[modelType]!,
    fields: new ConfigFields({ ...own, ...shared }, file, place ? `${field}.` : ''),
    prefix,
  }
}
