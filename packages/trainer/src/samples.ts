// From samples of tokens to batches: labels, truncation that respects images, padding and packing. All on the host; the
// loss makes tensors of what it needs.
import { ShaktiError } from '@shakti/tensor'

export const ignoreIndex = -100

/** Tokens that stand for something that cannot be cut, an image: [start, end). */
export interface Span {
  start: number
  end: number
}

export interface Sample<Image = unknown> {
  ids: ArrayLike<number>
  /** 1 where the token is to be learned (an answer), as long as `ids`. Default: every token. */
  mask?: ArrayLike<number>
  /** Where the images' tokens lie, in the order of `images`. */
  spans?: readonly Span[]
  images?: readonly Image[]
}

/** Sequences in one array, row after row. */
export interface TokenBatch<Image = unknown> {
  /** Rows and length of the arrays below; packed sequences lie in one row. */
  rows: number
  length: number
  ids: Int32Array
  /** The token that each position has to predict (already shifted), or -100. */
  labels: Int32Array
  /** Counted from 0 in every sequence. */
  positions: Int32Array
  /** Where the sequences begin, and the end: n + 1 numbers. Only when packed: attention must not cross them. */
  cuSeqlens?: Int32Array
  /** Real tokens of each sequence. */
  lengths: Int32Array
  /** Of all sequences, in order. */
  images: Image[]
}

function check(sample: Sample): void {
  const { ids, mask, spans = [], images } = sample
  if (ids.length === 0) throw new ShaktiError('sample', 'has no tokens.')
  if (mask && mask.length !== ids.length) {
    throw new ShaktiError(
      'sample',
      `mask has ${mask.length} entries, ids ${ids.length}. They must be equal.`,
    )
  }
  if (images && images.length !== spans.length) {
    throw new ShaktiError(
      'sample',
      `has ${images.length} images but ${spans.length} spans of image tokens.`,
    )
  }
  let at = 0
  for (const { start, end } of spans) {
    if (
      !Number.isInteger(start) ||
      !Number.isInteger(end) ||
      start < at ||
      end <= start ||
      end > ids.length
    ) {
      throw new ShaktiError(
        'sample',
        `span [${start}, ${end}) must lie in order, without overlap, in ${ids.length} tokens.`,
      )
    }
    at = end
  }
}

/** Tokens of a sample that have to be predicted: those in the mask but the first, which nothing predicts. */
export function supervised(sample: Sample): number {
  let n = 0
  for (let i = 1; i < sample.ids.length; i++) if (!sample.mask || sample.mask[i]) n++
  return n
}

/**
 * Cuts a sample to `maxLength` tokens, at the end. An image is never cut: where the limit falls inside a span the
 * sample is dropped, and so it is when nothing is left to learn (TRL's `keep_end` once trained on no image at all, #5285).
 * @param options.onCut 'drop' (default) or 'throw'
 * @returns undefined for a dropped sample
 */
export function truncate<I>(
  sample: Sample<I>,
  maxLength: number,
  options: { onCut?: 'drop' | 'throw' } = {},
): Sample<I> | undefined {
  check(sample)
  const { ids, mask, spans, images } = sample
  if (ids.length <= maxLength) return sample
  const cut = spans?.find((s) => s.start < maxLength && s.end > maxLength)
  if (cut) {
    if (options.onCut === 'throw') {
      throw new ShaktiError(
        'truncate',
        `a limit of ${maxLength} tokens would cut the image at [${cut.start}, ${cut.end}). Raise the limit, or give the image fewer tokens.`,
      )
    }
    return undefined
  }
  const kept = spans?.filter((s) => s.end <= maxLength)
  const short: Sample<I> = {
    ids: Array.prototype.slice.call(ids, 0, maxLength) as number[],
    ...(mask ? { mask: Array.prototype.slice.call(mask, 0, maxLength) as number[] } : {}),
    ...(kept ? { spans: kept } : {}),
    ...(images ? { images: images.slice(0, kept!.length) } : {}),
  }
  return supervised(short) > 0 ? short : undefined
}

function write(sample: Sample, batch: TokenBatch, at: number): void {
  const { ids, mask } = sample
  for (let i = 0; i < ids.length; i++) {
    batch.ids[at + i] = ids[i]!
    batch.positions[at + i] = i
    const next = i + 1
    // The last token of a sequence predicts nothing, least of all its neighbour's first.
    batch.labels[at + i] = next < ids.length && (!mask || mask[next]) ? ids[next]! : ignoreIndex
  }
}

function blank<I>(
  rows: number,
  length: number,
  samples: readonly Sample<I>[],
  padId: number,
): TokenBatch<I> {
  return {
    rows,
    length,
    ids: new Int32Array(rows * length).fill(padId),
    labels: new Int32Array(rows * length).fill(ignoreIndex),
    positions: new Int32Array(rows * length),
    lengths: Int32Array.from(samples, (s) => s.ids.length),
    images: samples.flatMap((s) => s.images ?? []),
  }
}

/**
 * One row a sample, padded on the right to the longest.
 * @param options.padId default 0
 * @param options.multipleOf the length is rounded up to it, so that fewer different shapes occur; default 1
 */
export function collate<I>(
  samples: readonly Sample<I>[],
  options: { padId?: number; multipleOf?: number } = {},
): TokenBatch<I> {
  const { padId = 0, multipleOf = 1 } = options
  if (!Number.isInteger(multipleOf) || multipleOf < 1)
    throw new ShaktiError('collate', `multipleOf is ${multipleOf}. It must be an integer from 1.`)
  samples.forEach(check)
  if (samples.length === 0) throw new ShaktiError('collate', 'got no samples.')
  const longest = samples.reduce((n, s) => Math.max(n, s.ids.length), 0)
  const length = Math.ceil(longest / multipleOf) * multipleOf
  const batch = blank(samples.length, length, samples, padId)
  samples.forEach((s, row) => write(s, batch, row * length))
  return batch
}

/** All samples one after the other in one row, with `cuSeqlens` between them. No padding. */
export function pack<I>(samples: readonly Sample<I>[]): TokenBatch<I> {
  samples.forEach(check)
  if (samples.length === 0) throw new ShaktiError('pack', 'got no samples.')
  const cuSeqlens = new Int32Array(samples.length + 1)
  samples.forEach((s, i) => (cuSeqlens[i + 1] = cuSeqlens[i]! + s.ids.length))
  const batch = blank(1, cuSeqlens[samples.length]!, samples, 0)
  samples.forEach((s, i) => write(s, batch, cuSeqlens[i]!))
  return { ...batch, cuSeqlens }
}

/** The positions that have a label, their labels, and the sequence each belongs to. */
export function supervisedPositions(batch: TokenBatch): {
  index: Int32Array
  labels: Int32Array
  sequence: Int32Array
} {
  let n = 0
  for (const label of batch.labels) if (label !== ignoreIndex) n++
  const index = new Int32Array(n)
  const labels = new Int32Array(n)
  const sequence = new Int32Array(n)
  let at = 0
  let row = 0
  for (let i = 0; i < batch.labels.length; i++) {
    if (batch.cuSeqlens) while (i >= batch.cuSeqlens[row + 1]!) row++
    else row = Math.floor(i / batch.length)
    if (batch.labels[i] === ignoreIndex) continue
    index[at] = i
    labels[at] = batch.labels[i]!
    sequence[at++] = row
  }
  return { index, labels, sequence }
}
