// A scene: tinted paper, a 2 x 2 grid, each cell empty or one concept drawn by some artist. 48 x 48 pixels, RGB.
import type { Artist, Drawings } from './artists.js'
import { side } from './artists.js'
import { concepts, type Concept } from './concepts.js'
import type { Random } from './random.js'

export const size = 48
const cell = size / 2

export const papers = {
  white: [250, 250, 248],
  yellow: [250, 232, 150],
  pink: [248, 190, 205],
  blue: [170, 205, 245],
  green: [180, 228, 175],
  gray: [160, 160, 165],
} as const
export type Paper = keyof typeof papers
export const paperNames = Object.keys(papers) as Paper[]

export const places = ['top left', 'top right', 'bottom left', 'bottom right'] as const
export type Place = (typeof places)[number]

export interface Scene {
  readonly paper: Paper
  /** In the order of `places`; undefined is an empty cell. */
  readonly cells: readonly (Concept | undefined)[]
}

export interface SceneOptions {
  /** What may stand in it. Default: the concepts of training. */
  readonly of?: readonly Concept[]
}

/** A scene without its pixels. A quarter of the cells is empty, never all four. */
export function composeScene(random: Random, { of = concepts }: SceneOptions = {}): Scene {
  const paper = random.pick(paperNames)
  for (;;) {
    const cells = places.map(() => (random.next() < 0.25 ? undefined : random.pick(of)))
    if (cells.some((c) => c !== undefined)) return { paper, cells }
  }
}

export interface DrawOptions {
  readonly artists: readonly Artist[]
  /** Turn, mirror, bend, recolour and partly cover the drawings (training). */
  readonly augment: boolean
}

/** How a drawing is put into its cell. */
interface Placement {
  /** Side of the drawing on the paper, in pixels. */
  readonly scale: number
  readonly angle: number
  readonly mirror: 1 | -1
  /** Width against height, and the slant of upright lines. */
  readonly aspect: number
  readonly shear: number
  /** A square that stays paper, in pixels of the cell. */
  readonly hole: { readonly x: number; readonly y: number; readonly side: number } | undefined
  /** An affine map of colours: three rows of factors for red, green, blue and a constant. */
  readonly colour: readonly number[]
}

const asDrawn: Placement = {
  scale: 20,
  angle: 0,
  mirror: 1,
  aspect: 1,
  shear: 0,
  hole: undefined,
  colour: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0],
}

/**
 * An artist's hand differs in shape, tone and detail: all three are varied, so that what is learned is the thing
 * (docs/log.md has what each brought).
 */
function varied(random: Random): Placement {
  const gains = [0, 1, 2].map(() => random.between(0.6, 1.4))
  const brightness = random.between(-40, 40)
  const contrast = random.between(0.6, 1.4)
  const grey = random.next() < 0.25
  const swap = random.next() < 0.2 ? 1 + random.int(2) : 0
  const mix = (to: number, from: number): number =>
    grey ? 1 / 3 : from === (to + swap) % 3 ? 1 : 0
  return {
    scale: random.between(15, 23),
    angle: random.between(-0.35, 0.35),
    mirror: random.next() < 0.5 ? -1 : 1,
    aspect: Math.exp(random.between(-0.15, 0.15)),
    shear: random.between(-0.15, 0.15),
    hole:
      random.next() < 0.5
        ? { x: random.int(20), y: random.int(20), side: 4 + random.int(8) }
        : undefined,
    colour: gains.flatMap((gain, to) => [
      ...[0, 1, 2].map((from) => gain * contrast * mix(to, from)),
      gain * (128 * (1 - contrast) + brightness),
    ]),
  }
}

/** Paints one drawing into a cell by bilinear sampling. */
function paint(
  pixels: Uint8ClampedArray,
  drawing: Uint8Array,
  x0: number,
  y0: number,
  random: Random,
  { scale, angle, mirror, aspect, shear, hole, colour }: Placement,
): void {
  const cx = x0 + cell / 2 + random.between(-1.5, 1.5)
  const cy = y0 + cell / 2 + random.between(-1.5, 1.5)
  const step = side / scale
  const cos = Math.cos(angle) * step
  const sin = Math.sin(angle) * step
  for (let y = y0; y < y0 + cell; y++) {
    for (let x = x0; x < x0 + cell; x++) {
      if (hole) {
        const hx = x - x0 - hole.x
        const hy = y - y0 - hole.y
        if (hx >= 0 && hy >= 0 && hx < hole.side && hy < hole.side) continue
      }
      const dy = y + 0.5 - cy
      const dx = x + 0.5 - cx + shear * dy
      const u = mirror * (dx * cos + dy * sin) * aspect + side / 2 - 0.5
      const v = (-dx * sin + dy * cos) / aspect + side / 2 - 0.5
      if (u <= -1 || v <= -1 || u >= side || v >= side) continue
      const ui = Math.floor(u)
      const vi = Math.floor(v)
      // Premultiplied: what lies outside the drawing is nothing.
      let r = 0
      let g = 0
      let b = 0
      let a = 0
      for (let k = 0; k < 4; k++) {
        const px = ui + (k & 1)
        const py = vi + (k >> 1)
        if (px < 0 || py < 0 || px >= side || py >= side) continue
        const w = (k & 1 ? u - ui : 1 - u + ui) * (k >> 1 ? v - vi : 1 - v + vi)
        const from = (py * side + px) * 4
        const alpha = (w * drawing[from + 3]!) / 255
        r += alpha * drawing[from]!
        g += alpha * drawing[from + 1]!
        b += alpha * drawing[from + 2]!
        a += alpha
      }
      if (a < 0.004) continue
      const at = (y * size + x) * 3
      for (let k = 0; k < 3; k++) {
        const c = 4 * k
        // A clamped array rounds and keeps within 0 .. 255.
        pixels[at + k] =
          colour[c]! * r +
          colour[c + 1]! * g +
          colour[c + 2]! * b +
          colour[c + 3]! * a +
          pixels[at + k]! * (1 - a)
      }
    }
  }
}

/** The pixels of a scene, size * size * 3 bytes, row by row. */
export function drawScene(
  scene: Scene,
  drawings: Drawings,
  random: Random,
  options: DrawOptions,
): Uint8Array {
  const pixels = new Uint8ClampedArray(size * size * 3)
  const tint = papers[scene.paper].map((c) => c + random.between(-8, 8))
  for (let i = 0; i < pixels.length; i++) pixels[i] = tint[i % 3]! + random.between(-3, 3)
  scene.cells.forEach((concept, i) => {
    if (!concept) return
    const able = options.artists.filter((a) => drawings.of(a, concept.name).length > 0)
    if (able.length === 0)
      throw new Error(
        `drawScene: no drawing of '${concept.name}' by ${options.artists.join(', ')}.`,
      )
    const drawing = random.pick(drawings.of(random.pick(able), concept.name))
    const placement = options.augment ? varied(random) : asDrawn
    paint(pixels, drawing, (i % 2) * cell, Math.floor(i / 2) * cell, random, placement)
  })
  return new Uint8Array(pixels.buffer)
}
