// Exact t-SNE (van der Maaten and Hinton, 2008) for a few hundred points: the alignment probe's picture.

/** Bandwidths by bisection, so that every point has about `perplexity` neighbours; then symmetric joint probabilities. */
function affinities(points: readonly Float32Array[], perplexity: number): Float64Array {
  const n = points.length
  const p = new Float64Array(n * n)
  const target = Math.log(perplexity)
  for (let i = 0; i < n; i++) {
    const distance = points.map((q) => q.reduce((s, v, k) => s + (v - points[i]![k]!) ** 2, 0))
    let [low, high, beta] = [0, Infinity, 1]
    for (let round = 0; round < 50; round++) {
      let sum = 0
      let weighted = 0
      for (let j = 0; j < n; j++) {
        const w = j === i ? 0 : Math.exp(-distance[j]! * beta)
        p[i * n + j] = w
        sum += w
        weighted += w * distance[j]!
      }
      const entropy = Math.log(sum || 1e-300) + (beta * weighted) / (sum || 1e-300)
      for (let j = 0; j < n; j++) p[i * n + j]! /= sum || 1e-300
      if (Math.abs(entropy - target) < 1e-4) break
      if (entropy > target) [low, beta] = [beta, high === Infinity ? beta * 2 : (beta + high) / 2]
      else [high, beta] = [beta, (beta + low) / 2]
    }
  }
  const joint = new Float64Array(n * n)
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++)
      joint[i * n + j] = Math.max((p[i * n + j]! + p[j * n + i]!) / (2 * n), 1e-12)
  }
  return joint
}

/** Places in the plane, one for each point; the same for the same points. */
export function tsne(
  points: readonly Float32Array[],
  options: { perplexity?: number; iterations?: number } = {},
): (readonly [number, number])[] {
  const n = points.length
  const { perplexity = Math.min(20, (n - 1) / 3), iterations = 350 } = options
  const p = affinities(points, perplexity)
  // A spiral to start from: no random numbers needed.
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

/** Share of points whose nearest neighbour has the same label. */
export function neighbourPurity(
  points: readonly Float32Array[],
  labels: readonly string[],
): number {
  const same = points.filter((a, i) => {
    let best = -1
    let least = Infinity
    points.forEach((b, j) => {
      if (i === j) return
      const d = a.reduce((s, v, k) => s + (v - b[k]!) ** 2, 0)
      if (d < least) [least, best] = [d, j]
    })
    return labels[i] === labels[best]
  })
  return same.length / points.length
}
