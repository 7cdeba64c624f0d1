// Bicubic resize with the very pixels of Pillow, whose resize prepared the images of nearly every public vision model:
// support widened when shrinking (antialiasing), 22-bit fixed-point weights, columns before rows with 8 bits between.
// libvips, which decodes our images, is off by up to 4 steps when shrinking and by half a pixel of place when enlarging.
import { setImmediate } from 'node:timers/promises'

export interface Size {
  readonly height: number
  readonly width: number
}

/** Bits behind the point: 8 for the pixel, 2 for sums that overshoot, the rest of 32 for the weight. */
const precision = 22
const half = 1 << (precision - 1)

/** Multiply-adds between two turns of the event loop: about 10 ms. */
const turn = 8_000_000

/** Keys' cubic convolution, a = -0.5 (IEEE Trans. ASSP 29, 1981, eq. 15). */
function cubic(x: number): number {
  const t = Math.abs(x)
  if (t < 1) return (1.5 * t - 2.5) * t * t + 1
  return t < 2 ? (((t - 5) * t + 8) * t - 4) * -0.5 : 0
}

/** What each output of one axis reads: `counts[i]` inputs from `starts[i]`, weights from `i * stride`. */
interface Taps {
  readonly starts: Int32Array
  readonly counts: Int32Array
  readonly weights: Int32Array
  readonly stride: number
}

function taps(from: number, to: number): Taps {
  const scale = from / to
  const widen = Math.max(scale, 1)
  const support = 2 * widen
  const stride = 2 * Math.ceil(support) + 1
  const starts = new Int32Array(to)
  const counts = new Int32Array(to)
  const weights = new Int32Array(to * stride)
  const exact = new Float64Array(stride)
  for (let i = 0; i < to; i++) {
    const centre = (i + 0.5) * scale
    const start = Math.max(0, Math.trunc(centre - support + 0.5))
    const count = Math.min(from, Math.trunc(centre + support + 0.5)) - start
    let sum = 0
    for (let k = 0; k < count; k++)
      sum += exact[k] = cubic((k + start - centre + 0.5) * (1 / widen))
    for (let k = 0; k < count; k++) {
      const w = (exact[k]! / sum) * (1 << precision)
      weights[i * stride + k] = Math.trunc(w < 0 ? w - 0.5 : w + 0.5)
    }
    starts[i] = start
    counts[i] = count
  }
  return { starts, counts, weights, stride }
}

/** RGB rows [from, to) of `source`, brought to `width` columns. */
function resizeColumns(
  source: Uint8Array,
  sourceWidth: number,
  out: Uint8Array,
  width: number,
  { starts, counts, weights, stride }: Taps,
  from: number,
  to: number,
): void {
  for (let y = from; y < to; y++) {
    const row = y * sourceWidth
    let o = y * width * 3
    for (let x = 0; x < width; x++) {
      let [r, g, b] = [half, half, half]
      let at = (row + starts[x]!) * 3
      const first = x * stride
      const last = first + counts[x]!
      for (let k = first; k < last; k++, at += 3) {
        const w = weights[k]!
        r = (r + Math.imul(w, source[at]!)) | 0
        g = (g + Math.imul(w, source[at + 1]!)) | 0
        b = (b + Math.imul(w, source[at + 2]!)) | 0
      }
      out[o++] = clip(r)
      out[o++] = clip(g)
      out[o++] = clip(b)
    }
  }
}

/** Row y of the result from rows of `rowBytes` bytes. */
function resizeRow(
  source: Uint8Array,
  out: Uint8Array,
  rowBytes: number,
  { starts, counts, weights, stride }: Taps,
  y: number,
  sums: Int32Array,
): void {
  sums.fill(half)
  for (let k = 0; k < counts[y]!; k++) {
    const w = weights[y * stride + k]!
    const row = (starts[y]! + k) * rowBytes
    for (let i = 0; i < rowBytes; i++) sums[i] = (sums[i]! + Math.imul(w, source[row + i]!)) | 0
  }
  for (let i = 0; i < rowBytes; i++) out[y * rowBytes + i] = clip(sums[i]!)
}

function clip(sum: number): number {
  const v = sum >> precision
  return v < 0 ? 0 : v > 255 ? 255 : v
}

/**
 * Resizes 8-bit RGB as Pillow's `Image.resize(size, BICUBIC)` does, bit for bit. Lets the event loop turn every few
 * milliseconds; `rgb` must not change meanwhile.
 * @param rgb height * width * 3 bytes, row by row
 * @returns the same layout at the new size; `rgb` itself where the size stays
 */
export async function resizeBicubic(rgb: Uint8Array, from: Size, to: Size): Promise<Uint8Array> {
  let image = rgb
  if (to.width !== from.width) {
    const columns = taps(from.width, to.width)
    const out = new Uint8Array(from.height * to.width * 3)
    const band = Math.max(1, Math.floor(turn / (to.width * columns.stride * 3)))
    for (let y = 0; y < from.height; y += band) {
      const end = Math.min(from.height, y + band)
      resizeColumns(image, from.width, out, to.width, columns, y, end)
      await setImmediate()
    }
    image = out
  }
  if (to.height !== from.height) {
    const rows = taps(from.height, to.height)
    const rowBytes = to.width * 3
    const out = new Uint8Array(to.height * rowBytes)
    const sums = new Int32Array(rowBytes)
    const band = Math.max(1, Math.floor(turn / (rowBytes * rows.stride)))
    for (let y = 0; y < to.height; y++) {
      resizeRow(image, out, rowBytes, rows, y, sums)
      if (y % band === band - 1) await setImmediate()
    }
    image = out
  }
  return image
}
