// Which of a model's Linears are held in few bits, and how: `quantization_config` of config.json, and the modules that follow
// from it. The module tree is what is true; the config is read off it.
import {
  FileFormatError,
  quantizeWeight,
  quantLayoutVersion,
  ShaktiError,
  type QuantBits,
  type QuantGroup,
} from '@shakti/tensor'
import { Linear, matchesPattern, meta, quantize_, QuantizedLinear } from '@shakti/nn'
import { z } from 'zod'
import type { ShaktiVlmConfig } from '../config.js'
import { ShaktiVlm } from '../vlm.js'

export interface QuantizationConfig {
  readonly bits: QuantBits
  /** Neighbours of a row that share a scale. */
  readonly group: QuantGroup
  /** Whether a group has a zero point beside its scale. */
  readonly zeroPoint: boolean
  /** Names of Linears that stay as they are, as in the state dict, without `.weight`; `*` stands for anything. */
  readonly except: readonly string[]
}

export interface QuantizationOptions {
  /** Default 8. */
  bits?: QuantBits
  /** Default 64 for 8 bits, 32 for 4. */
  group?: QuantGroup
  /** Whether a group has a zero point beside its scale: a tenth less error in 4 bits for 0.25 bits a weight. Default false. */
  zeroPoint?: boolean
  /**
   * Whether the output matrix is quantised too: it is up to a quarter of the bytes that a token reads. In a tied model it
   * becomes a copy of the embedding, which stays whole for the look-up. Default true.
   */
  head?: boolean
  /** Names of modules that stay as they are, as in the state dict (`vision_tower.*`); default none. */
  except?: readonly string[]
}

/** The output matrix in the state dict; in a tied model it is there only as a quantised copy of the embedding. */
export const headName = 'language_model.lm_head'

/** Checks options and fills in defaults. */
export function quantizationOf(op: string, options: QuantizationOptions): QuantizationConfig {
  const { bits = 8, head = true, except = [], zeroPoint = false } = options
  const { group = bits === 8 ? 64 : 32 } = options
  const parsed = quantizationSchema.safeParse({ bits, group, zeroPoint, except })
  if (!parsed.success) throw new ShaktiError(op, `${problem(parsed.error)}.`)
  return head ? parsed.data : { ...parsed.data, except: [...except, headName] }
}

const quantizationSchema = z
  .object({
    bits: z.literal([8, 4]),
    group: z.literal([32, 64, 128]),
    zeroPoint: z.boolean(),
    except: z.array(z.string().min(1).max(1000)).max(10_000),
  })
  .strict()

function problem(error: z.ZodError): string {
  const first = error.issues[0]!
  return `${first.path.join('.')}: ${first.message}`
}

export function toHfQuantization({ bits, group, zeroPoint, except }: QuantizationConfig): object {
  return {
    quant_method: 'shakti',
    layout: quantLayoutVersion,
    bits,
    group_size: group,
    zero_point: zeroPoint,
    modules_not_converted: except,
  }
}

/** `quantization_config` of a config.json, if it has one. */
export function fromHfQuantization(json: unknown, file: string): QuantizationConfig | undefined {
  const q = (json as Record<string, unknown>)['quantization_config']
  if (q === undefined || q === null) return undefined
  const refuse = (field: string, message: string): never => {
    throw new FileFormatError(file, `quantization_config${field && `.${field}`}`, message)
  }
  if (typeof q !== 'object') refuse('', 'is not an object')
  const { quant_method, layout, bits, group_size, zero_point, modules_not_converted, ...rest } =
    q as Record<string, unknown>
  if (quant_method !== 'shakti')
    refuse('quant_method', `is ${JSON.stringify(quant_method)}; only "shakti" is read`)
  if (layout !== quantLayoutVersion)
    refuse(
      'layout',
      `is ${JSON.stringify(layout)}; this version reads ${quantLayoutVersion}. Quantise the model anew`,
    )
  for (const field of Object.keys(rest)) refuse(field.slice(0, 100), 'is not known')
  const parsed = quantizationSchema.safeParse({
    bits,
    group: group_size,
    zeroPoint: zero_point,
    except: modules_not_converted ?? [],
  })
  return parsed.success ? parsed.data : refuse('', problem(parsed.error))
}

/**
 * Puts QuantizedLinears in the place of a model's Linears, and frees the weights that it then no longer holds. Embeddings,
 * norms, biases and the patch kernel stay.
 * @throws ShaktiError when nothing fits
 */
export function quantizeModel_(model: ShaktiVlm, options: QuantizationOptions = {}): ShaktiVlm {
  return convert_(model, quantizationOf('quantizeModel_', options))
}

function convert_(model: ShaktiVlm, { except, ...format }: QuantizationConfig): ShaktiVlm {
  const names = new Map(Array.from(model.stateModules(), ([name, m]) => [m, name]))
  const linears = Array.from(names).flatMap(([m, name]) => (m instanceof Linear ? [name] : []))
  for (const pattern of except) {
    if (![...linears, headName].some((name) => matchesPattern(name, pattern)))
      throw new ShaktiError('quantization', `except: no Linear fits '${pattern.slice(0, 200)}'.`)
  }
  const kept = (name: string): boolean => except.some((p) => matchesPattern(name, p))
  const keptPaths = Array.from(model.namedModules())
    .filter(([, m]) => m instanceof Linear && kept(names.get(m)!))
    .map(([path]) => path)
  quantize_(model, { ...format, except: keptPaths })
  const { decoder } = model
  if (decoder.lmHead === undefined && !kept(headName)) {
    const weight = quantizeWeight(decoder.model.embedTokens.weight, format)
    decoder.lmHead = new QuantizedLinear(weight)
    weight.dispose()
  }
  return model
}

/** A model of which all is known but the values. */
export function emptyModel(config: ShaktiVlmConfig, quantization?: QuantizationConfig): ShaktiVlm {
  return meta(() => {
    const model = new ShaktiVlm(config)
    return quantization ? convert_(model, quantization) : model
  })
}

/**
 * How a model is quantised; undefined when it is not.
 * @throws ShaktiError when its layers differ in bits, groups or zero points, for which config.json has no words
 */
export function quantizationIn(model: ShaktiVlm): QuantizationConfig | undefined {
  const formats = new Map<string, Omit<QuantizationConfig, 'except'>>()
  const layers = Array.from(model.stateModules())
  for (const [, { bits, group, zeroPoint }] of layers.filter(isQuantized)) {
    const name = `${bits} bits, groups of ${group}${zeroPoint ? ', zero points' : ''}`
    formats.set(name, { bits, group, zeroPoint })
  }
  const [format, other] = formats.values()
  if (!format) return undefined
  if (other) {
    throw new ShaktiError(
      'quantization',
      `layers differ: ${[...formats.keys()].join('; ')}. A folder holds one format.`,
    )
  }
  const except = unconverted(layers)
  if (model.decoder.lmHead === undefined) except.push(headName)
  return { ...format, except }
}

type Named<M> = readonly [string, M]

const isQuantized = (m: Named<unknown>): m is Named<QuantizedLinear> =>
  m[1] instanceof QuantizedLinear
const isWhole = ([, m]: Named<unknown>): boolean => m instanceof Linear

/** The Linears that are whole, those of a module that has no others as one pattern. */
function unconverted(modules: readonly Named<unknown>[]): string[] {
  const quantized = modules.filter(isQuantized).map(([name]) => name)
  const out = new Set<string>()
  for (const [name] of modules.filter(isWhole)) {
    const parts = name.split('.')
    const depth = parts.findIndex((_, i) => {
      const prefix = `${parts.slice(0, i + 1).join('.')}.`
      return !quantized.some((q) => q.startsWith(prefix))
    })
    // Its own name is the last prefix, under which there is nothing quantised.
    out.add(depth < parts.length - 1 ? `${parts.slice(0, depth + 1).join('.')}.*` : name)
  }
  return [...out]
}
