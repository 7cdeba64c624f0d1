// A scene: two handwritten digits side by side on white, each in an ink of its own colour. 28 x 56 pixels, RGB.
import { digitSide, type Digits } from './mnist.js'
import type { Random } from './random.js'

export const height = digitSide
export const width = 2 * digitSide

export const inks = {
  red: [210, 40, 40],
  green: [30, 150, 60],
  blue: [40, 80, 220],
  orange: [240, 140, 20],
  purple: [140, 50, 180],
  black: [25, 25, 25],
} as const
export type Ink = keyof typeof inks
export const inkNames = Object.keys(inks) as Ink[]

export interface Side {
  readonly digit: number
  readonly ink: Ink
}

export interface Scene {
  readonly left: Side
  readonly right: Side
}

/** A scene without its pixels: digits and inks drawn independently. */
export function composeScene(random: Random): Scene {
  const side = (): Side => ({ digit: random.int(10), ink: random.pick(inkNames) })
  return { left: side(), right: side() }
}

export interface DrawOptions {
  readonly digits: Digits
  /** Turn, shift and resize the digits a little (training). */
  readonly augment: boolean
}

function paint(
  pixels: Uint8Array,
  digit: Uint8Array,
  x0: number,
  ink: Ink,
  random: Random,
  augment: boolean,
): void {
  const angle = augment ? random.between(-0.2, 0.2) : 0
  const step = augment ? random.between(0.88, 1.14) : 1
  const cx = digitSide / 2 + (augment ? random.between(-1.5, 1.5) : 0)
  const cy = digitSide / 2 + (augment ? random.between(-1.5, 1.5) : 0)
  const [cos, sin] = [Math.cos(angle) * step, Math.sin(angle) * step]
  const colour = inks[ink].map((c) => Math.max(0, Math.min(255, c + random.between(-12, 12))))
  for (let y = 0; y < digitSide; y++) {
    for (let x = 0; x < digitSide; x++) {
      const [dx, dy] = [x + 0.5 - cx, y + 0.5 - cy]
      const u = dx * cos + dy * sin + digitSide / 2 - 0.5
      const v = -dx * sin + dy * cos + digitSide / 2 - 0.5
      const [ui, vi] = [Math.floor(u), Math.floor(v)]
      let a = 0
      for (let k = 0; k < 4; k++) {
        const [px, py] = [ui + (k & 1), vi + (k >> 1)]
        if (px < 0 || py < 0 || px >= digitSide || py >= digitSide) continue
        a +=
          (k & 1 ? u - ui : 1 - u + ui) *
          (k >> 1 ? v - vi : 1 - v + vi) *
          digit[py * digitSide + px]!
      }
      if (a < 1) continue
      a /= 255
      const at = (y * width + x0 + x) * 3
      for (let k = 0; k < 3; k++)
        pixels[at + k] = Math.round(colour[k]! * a + pixels[at + k]! * (1 - a))
    }
  }
}

/** The pixels of a scene, height * width * 3 bytes, row by row. Which handwriting of a digit is drawn comes from `random`. */
export function drawScene(
  scene: Scene,
  random: Random,
  { digits, augment }: DrawOptions,
): Uint8Array {
  const pixels = new Uint8Array(height * width * 3).fill(250)
  for (const [i, side] of [scene.left, scene.right].entries()) {
    const picture = digits.image(random.pick(digits.byLabel[side.digit]!))
    paint(pixels, picture, i * digitSide, side.ink, random, augment)
  }
  return pixels
}
