// Exact t-SNE (van der Maaten and Hinton, JMLR 9, 2008) for a few thousand points: time and memory grow with their square.
import { ShaktiError } from '@shakti/tensor'

export interface TsneOptions {
  /** About how many neighbours each point holds on to; below the number of points. Default min(20, (n - 1) / 3). */
  perplexity?: number
  /** Default 350; the first 100 pull neighbours together harder (early exaggeration). */
  iterations?: number
}

const squaredDistance = (a: Float32Array, b: Float32Array): number => {
  let sum = 0
  for (let k = 0; k < a.length; k++) sum += (a[k]! - b[k]!) ** 2
  return sum
}

/** Bandwidths by bisection, so that every point has about `perplexity` neighbours; then symmetric joint probabilities. */
function affinities(points: readonly Float32Array[], perplexity: number): Float64Array {
  const n = points.length
  const p = new Float64Array(n * n)
  const target = Math.log(perplexity)
  points.forEach((point, i) => {
    const distance = points.map((q) => squaredDistance(point, q))
    // Counted from the nearest one, which changes no probability: a far point would have weights of 0 alone.
    const nearest = distance.reduce(
      (least, d, j) => (j === i ? least : Math.min(least, d)),
      Infinity,
    )
    let [low, high, beta] = [0, Infinity, 1]
    for (let round = 0; round < 50; round++) {
      let sum = 0
      let weighted = 0
      for (let j = 0; j < n; j++) {
        const d = distance[j]! - nearest
        const w = j === i ? 0 : Math.exp(-d * beta)
        p[i * n + j] = w
        sum += w
        weighted += w * d
      }
      for (let j = 0; j < n; j++) p[i * n + j]! /= sum
      const entropy = Math.log(sum) + (beta * weighted) / sum
      if (Math.abs(entropy - target) < 1e-4) break
      if (entropy > target) [low, beta] = [beta, high === Infinity ? beta * 2 : (beta + high) / 2]
      else [high, beta] = [beta, (beta + low) / 2]
    }
  })
  const joint = new Float64Array(n * n)
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++)
      joint[i * n + j] = Math.max((p[i * n + j]! + p[j * n + i]!) / (2 * n), 1e-12)
  }
  return joint
}

/** All the same length, at least three, and finite. */
export function checkPoints(op: string, points: readonly Float32Array[]): void {
  if (points.length < 3) throw new ShaktiError(op, `got ${points.length} points. It needs 3.`)
  points.forEach((p, i) => {
    if (p.length !== points[0]!.length)
      throw new ShaktiError(
        op,
        `point ${i} has ${p.length} numbers, point 0 has ${points[0]!.length}. They must be equal.`,
      )
    const bad = p.findIndex((v) => !Number.isFinite(v))
    if (bad >= 0) throw new ShaktiError(op, `number ${bad} of point ${i} is ${p[bad]}.`)
  })
}

/** Places in the plane, one for each point, near where the points are near. The same for the same points: no chance in it. */
export function tsne(
  points: readonly Float32Array[],
  options: TsneOptions = {},
): (readonly [number, number])[] {
  checkPoints('tsne', points)
  const n = points.length
  const { perplexity = Math.max(1, Math.min(20, (n - 1) / 3)), iterations = 350 } = options
  if (!(perplexity >= 1 && perplexity < n))
    throw new ShaktiError('tsne', `perplexity is ${perplexity}. It must be in [1, ${n}).`)
  const p = affinities(points, perplexity)
  // A spiral to start from.
  const y = Float64Array.from(
    { length: 2 * n },
    (_, k) => 1e-2 * (k % 2 ? Math.sin(k * 2.4) : Math.cos(k * 2.4)) * Math.sqrt(k),
  )
  const step = new Float64Array(2 * n)
  const w = new Float64Array(n * n)
  for (let t = 0; t < iterations; t++) {
    const exaggeration = t < 100 ? 8 : 1
    const momentum = t < 100 ? 0.5 : 0.8
    let total = 0
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        const d =
          i === j
            ? 0
            : 1 / (1 + (y[2 * i]! - y[2 * j]!) ** 2 + (y[2 * i + 1]! - y[2 * j + 1]!) ** 2)
        w[i * n + j] = d
        total += d
      }
    }
    for (let i = 0; i < n; i++) {
      let [gx, gy] = [0, 0]
      for (let j = 0; j < n; j++) {
        const d = w[i * n + j]!
        const pull = 4 * (exaggeration * p[i * n + j]! - d / total) * d
        gx += pull * (y[2 * i]! - y[2 * j]!)
        gy += pull * (y[2 * i + 1]! - y[2 * j + 1]!)
      }
      step[2 * i] = momentum * step[2 * i]! - n * 0.5 * gx
      step[2 * i + 1] = momentum * step[2 * i + 1]! - n * 0.5 * gy
    }
    for (let k = 0; k < 2 * n; k++) y[k]! += Math.max(-5, Math.min(5, step[k]!))
  }
  return Array.from({ length: n }, (_, i) => [y[2 * i]!, y[2 * i + 1]!] as const)
}

/** Index of the nearest other point, for each. */
export function nearestNeighbours(points: readonly Float32Array[]): number[] {
  return points.map((a, i) => {
    let [best, least] = [-1, Infinity]
    points.forEach((b, j) => {
      const d = i === j ? Infinity : squaredDistance(a, b)
      if (d < least) [best, least] = [j, d]
    })
    return best
  })
}
