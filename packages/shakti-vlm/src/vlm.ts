// Shakti-VLM: vision encoder, projector, decoder. Images enter the text where their placeholder tokens stand.
import { cat, ShaktiError, ShapeError, tensor, type Tensor } from '@shakti/tensor'
import { Module } from '@shakti/nn'
import { derive, parseConfig, type ShaktiVlmConfig, type ShaktiVlmConfigInput } from './config.js'
import { Decoder, type DecoderInputs } from './decoder.js'
import { Projector } from './projector.js'
import { VisionEncoder } from './vision/encoder.js'

/** An image ready for the encoder. */
export interface EncodedImage {
  /** f32, normalised, row by row, 3 numbers a pixel: height * width * 3. */
  readonly pixels: Float32Array
  readonly height: number
  readonly width: number
  /** Side of a patch. */
  readonly patch: number
}

/** How many tokens an image takes in the text. */
export function visualTokens(image: Pick<EncodedImage, 'height' | 'width' | 'patch'>, merge: number): number {
  return (image.height / image.patch / merge) * (image.width / image.patch / merge)
}

/** Token ids and the images that belong to them. */
export interface VlmInputs extends Omit<DecoderInputs, 'positions' | 'cuSeqlens'> {
  /** rows * length ids. */
  readonly ids: Int32Array
  readonly rows: number
  readonly length: number
  /** In the order of their placeholders. */
  readonly images?: readonly EncodedImage[]
  /** rows * length; default 0, 1, 2, ... */
  readonly positions?: Int32Array
  /** Borders of packed sequences. */
  readonly cuSeqlens?: Int32Array
}

export class ShaktiVlm extends Module {
  static override names = { vision: 'vision_tower', projector: 'multi_modal_projector', decoder: 'language_model' }
  readonly vision: VisionEncoder
  readonly projector: Projector
  readonly decoder: Decoder
  readonly config: ShaktiVlmConfig

  constructor(config: ShaktiVlmConfigInput) {
    super()
    this.config = parseConfig(config)
    const { vision, projector, decoder } = this.config
    this.vision = new VisionEncoder(vision)
    this.projector = new Projector(vision.width, decoder.width, projector.merge)
    this.decoder = new Decoder(decoder, derive(this.config).kvHeads)
  }

  get activationCheckpointing(): boolean {
    return this.decoder.activationCheckpointing
  }

  set activationCheckpointing(on: boolean) {
    this.decoder.activationCheckpointing = on
    this.vision.activationCheckpointing = on
  }

  /** Visual tokens of all images, one after the other: [tokens, decoder width]. Images of one size go through together. */
  encodeImages(images: readonly EncodedImage[]): Tensor {
    const groups = new Map<string, number[]>()
    images.forEach((image, i) => {
      const key = `${image.height}x${image.width}/${image.patch}`
      const group = groups.get(key)
      if (group) group.push(i)
      else groups.set(key, [i])
    })
    const parts = new Array<Tensor>(images.length)
    for (const members of groups.values()) {
      const { height, width, patch } = images[members[0]!]!
      const size = height * width * 3
      const pixels = new Float32Array(members.length * size)
      members.forEach((m, i) => {
        if (images[m]!.pixels.length !== size) {
          throw new ShapeError('ShaktiVlm', `image ${m} says ${height} x ${width} x 3 and has ${images[m]!.pixels.length} numbers.`)
        }
        pixels.set(images[m]!.pixels, i * size)
      })
      const patches = this.vision.forward(tensor(pixels, { shape: [members.length, height, width, 3] }), patch)
      const tokens = this.projector.forward(patches, height / patch, width / patch)
      if (groups.size === 1) return tokens.reshape([-1, tokens.shape[2]!])
      members.forEach((m, i) => (parts[m] = tokens.select(0, i)))
    }
    if (parts.length === 0) throw new ShaktiError('ShaktiVlm', 'encodeImages needs at least one image.')
    return cat(parts, 0)
  }

  /** Embeddings [rows, length, width] in which the placeholders are replaced by the images' tokens. */
  embed(inputs: VlmInputs): Tensor {
    const { ids, rows, length, images = [] } = inputs
    if (ids.length !== rows * length) throw new ShapeError('ShaktiVlm', `${ids.length} ids are not ${rows} x ${length}.`)
    const text = this.decoder.embed(tensor(ids, { shape: [rows, length] }))
    const { imageToken } = this.config
    const places: number[] = []
    if (imageToken !== undefined) for (let i = 0; i < ids.length; i++) if (ids[i] === imageToken) places.push(i)
    const { merge } = this.config.projector
    const expected = images.reduce((n, image) => n + visualTokens(image, merge), 0)
    if (places.length !== expected) {
      throw new ShaktiError(
        'ShaktiVlm',
        `the text has ${places.length} image placeholders, the ${images.length} images have ${expected} tokens. Make both with one processor.`,
      )
    }
    if (images.length === 0) return text
    const width = this.config.decoder.width
    const flat = text.reshape([-1, width])
    // Each position reads either its own row of the text or one of the visual tokens, which stand behind it.
    const index = Int32Array.from({ length: ids.length }, (_, i) => i)
    places.forEach((place, i) => (index[place] = ids.length + i))
    return cat([flat, this.encodeImages(images)], 0).indexSelect(0, tensor(index)).reshape([rows, length, width])
  }

  /** Hidden states [rows, length, width]; `logits` turns those that matter into logits. */
  forward(inputs: VlmInputs): Tensor {
    const { rows, length, positions, cuSeqlens, mask, cache } = inputs
    return this.decoder.forward(this.embed(inputs), {
      ...(positions ? { positions: tensor(positions, { shape: [rows, length] }) } : {}),
      ...(cuSeqlens ? { cuSeqlens: tensor(cuSeqlens) } : {}),
      ...(mask ? { mask } : {}),
      ...(cache ? { cache } : {}),
    })
  }

  /** Hidden states [..., width] to logits [..., vocab]. */
  logits(hidden: Tensor): Tensor {
    return this.decoder.logits(hidden)
  }
}
