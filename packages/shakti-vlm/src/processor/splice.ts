// A prompt is a list of typed chunks until the last moment: what cuts, counts or caches it sees "an image of 36 tokens",
// never 36 anonymous placeholders. Only `splice` turns chunks into ids.
import { createHash } from 'node:crypto'
import { ShaktiError } from '@shakti/tensor'
import { visualTokens, type EncodedImage } from '../vlm.js'

export interface TextChunk {
  readonly kind: 'text'
  readonly ids: readonly number[]
}

export interface ImageChunk {
  readonly kind: 'image'
  /** Patches: [rows, columns]. */
  readonly grid: readonly [number, number]
  /** Side of a patch in pixels. */
  readonly patch: number
  /** Places it takes in the sequence, without the tokens around it. */
  readonly tokens: number
  /** Of the pixels; equal images have equal ones. */
  readonly hash: string
  readonly image: EncodedImage
}

export type Chunk = TextChunk | ImageChunk

export class PromptError extends ShaktiError {
  override name = 'PromptError'
}

export function imageChunk(image: EncodedImage, merge: number): ImageChunk {
  const { height, width, patch, pixels } = image
  const grid = [height / patch, width / patch] as const
  const tokens = visualTokens(image, merge)
  if (!Number.isInteger(tokens) || !grid.every((n) => Number.isInteger(n / merge))) {
    throw new PromptError(
      'imageChunk',
      `an image of ${height} x ${width} does not divide into patches of ${patch}, ${merge} x ${merge} of them a token.`,
    )
  }
  const hash = createHash('sha256')
    .update(`${height}x${width}/${patch}:`)
    .update(new Uint8Array(pixels.buffer, pixels.byteOffset, pixels.byteLength))
    .digest('hex')
    .slice(0, 32)
  return { kind: 'image', grid, patch, tokens, hash, image }
}

/**
 * Sees that a prompt has an image for every image token and the reverse, before any image is opened.
 * @throws PromptError naming both numbers
 */
export function checkImages(ids: ArrayLike<number>, images: number, imageToken: number): void {
  let named = 0
  for (let i = 0; i < ids.length; i++) if (ids[i] === imageToken) named++
  if (named !== images)
    throw new PromptError('prompt', `the prompt names ${named} images, ${images} were given.`)
}

/**
 * Splits token ids at the image token: one chunk an image, text between. In `ids` each image stands as a single image
 * token, as the chat template writes it.
 * @throws PromptError when the ids name more or fewer images than there are
 */
export function chunks(
  ids: ArrayLike<number>,
  images: readonly EncodedImage[],
  options: { imageToken: number; merge: number },
): Chunk[] {
  const { imageToken, merge } = options
  checkImages(ids, images.length, imageToken)
  const out: Chunk[] = []
  let text: number[] = []
  let seen = 0
  const flush = (): void => {
    if (text.length > 0) out.push({ kind: 'text', ids: text })
    text = []
  }
  for (let i = 0; i < ids.length; i++) {
    if (ids[i] !== imageToken) {
      text.push(ids[i]!)
      continue
    }
    flush()
    out.push(imageChunk(images[seen++]!, merge))
  }
  flush()
  return out
}

/** Places that chunks take in the sequence. */
export function chunkLength(list: readonly Chunk[]): number {
  return list.reduce((n, c) => n + (c.kind === 'text' ? c.ids.length : c.tokens), 0)
}

/**
 * At most `limit` places, cut at the end or at the beginning. Text is cut anywhere; an image is kept whole or dropped,
 * and what lies behind the cut is dropped with it.
 */
export function truncateChunks(
  list: readonly Chunk[],
  limit: number,
  keep: 'start' | 'end' = 'start',
): Chunk[] {
  const out: Chunk[] = []
  let room = limit
  for (const chunk of keep === 'start' ? list : list.toReversed()) {
    const size = chunk.kind === 'text' ? chunk.ids.length : chunk.tokens
    if (size <= room) out.push(chunk)
    else {
      if (chunk.kind === 'text' && room > 0) {
        out.push({
          kind: 'text',
          ids: keep === 'start' ? chunk.ids.slice(0, room) : chunk.ids.slice(-room),
        })
      }
      break
    }
    room -= size
  }
  return keep === 'start' ? out : out.reverse()
}

export interface Spliced {
  readonly ids: Int32Array
  readonly images: readonly EncodedImage[]
  /** Where each image's tokens lie in `ids`. */
  readonly spans: readonly { readonly start: number; readonly end: number }[]
}

/** Chunks as the model reads them: a placeholder for each visual token, and the images in their order. */
export function splice(list: readonly Chunk[], options: { imageToken: number }): Spliced {
  const ids = new Int32Array(chunkLength(list)).fill(options.imageToken)
  const images: EncodedImage[] = []
  const spans: { start: number; end: number }[] = []
  let at = 0
  for (const chunk of list) {
    if (chunk.kind === 'text') {
      if (chunk.ids.includes(options.imageToken)) {
        throw new PromptError('splice', `text may not hold the image token ${options.imageToken}.`)
      }
      ids.set(chunk.ids, at)
      at += chunk.ids.length
    } else {
      images.push(chunk.image)
      spans.push({ start: at, end: at + chunk.tokens })
      at += chunk.tokens
    }
  }
  return { ids, images, spans }
}
