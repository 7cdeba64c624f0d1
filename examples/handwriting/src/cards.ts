// A card: two digits side by side in coloured inks on white, 28 x 56 pixels.
import { random } from '@shakti/trainer'
import { normalizePixels, type EncodedImage } from '@shakti/vlm'
import { side, type Digits } from './digits.js'

export const inks = {
  black: [20, 20, 20],
  red: [210, 40, 40],
  green: [30, 140, 50],
  blue: [40, 70, 200],
} as const
export type Ink = keyof typeof inks
export const inkNames = Object.keys(inks) as Ink[]

/** What is to be known about a card. */
export interface Facts {
  readonly digits: readonly [number, number]
  readonly inks: readonly [Ink, Ink]
}

export interface Card extends Facts {
  /** RGB, for the report. */
  readonly rgb: Uint8Array
  readonly image: EncodedImage
}

export const patch = 7

/** Brightness of a digit at a place between its pixels; nothing lies outside of it. */
function at(pixels: Uint8Array, x: number, y: number): number {
  const [x0, y0] = [Math.floor(x), Math.floor(y)]
  const [fx, fy] = [x - x0, y - y0]
  const pixel = (i: number, j: number): number =>
    i >= 0 && j >= 0 && i < side && j < side ? pixels[j * side + i]! : 0
  return (
    (1 - fy) * ((1 - fx) * pixel(x0, y0) + fx * pixel(x0 + 1, y0)) +
    fy * ((1 - fx) * pixel(x0, y0 + 1) + fx * pixel(x0 + 1, y0 + 1))
  )
}

/**
 * The i-th card of a seed.
 * @param augment turned by up to 12 degrees, sheared and scaled by up to 12 %, moved by up to 2 pixels: for training alone
 */
export function makeCard(digits: Digits, seed: number, i: number, augment: boolean): Card {
  const next = random(seed, i)
  const int = (n: number): number => Math.floor(next() * n)
  const upTo = (limit: number): number => (augment ? (2 * next() - 1) * limit : 0)
  const pick = [int(digits.count), int(digits.count)]
  const colours = [inkNames[int(inkNames.length)]!, inkNames[int(inkNames.length)]!] as const
  const width = 2 * side
  const middle = (side - 1) / 2
  const rgb = new Uint8Array(side * width * 3).fill(255)
  pick.forEach((d, half) => {
    const pixels = digits.pixels(d)
    const ink = inks[colours[half]!]
    const [angle, shear] = [upTo((12 * Math.PI) / 180), upTo(0.12)]
    const [sx, sy] = [1 + upTo(0.12), 1 + upTo(0.12)]
    const [dx, dy] = [upTo(2), upTo(2)]
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)]
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        const [u, v] = [x - middle - dx, y - middle - dy]
        const [ru, rv] = [(cos * u + sin * v) / sx, (cos * v - sin * u) / sy]
        const a = at(pixels, ru + shear * rv + middle, rv + middle) / 255
        for (let c = 0; c < 3; c++)
          rgb[(y * width + half * side + x) * 3 + c] = Math.round(255 + (ink[c]! - 255) * a)
      }
    }
  })
  return {
    digits: [digits.label(pick[0]!), digits.label(pick[1]!)],
    inks: colours,
    rgb,
    image: { pixels: normalizePixels(rgb), height: side, width, patch },
  }
}

/** A card without a picture, for text. */
export function cardInWords(next: () => number): Facts {
  const int = (n: number): number => Math.floor(next() * n)
  return { digits: [int(10), int(10)], inks: [inkNames[int(4)]!, inkNames[int(4)]!] }
}
