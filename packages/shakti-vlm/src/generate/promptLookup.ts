// Prompt lookup: what followed the last tokens before follows them again. Costs nothing, and is often right where a text quotes, lists or fills
// in a form; the simplest of proposers.
import type { Continuation } from './continuation.js'
import { guess, type Guess, type Proposer } from './speculative.js'

export class PromptLookup implements Proposer {
  readonly #all: number[]
  readonly #prompt: number

  /**
   * @param longest so many tokens at most are looked for, fewer where these are nowhere
   * @param never is not guessed
   */
  constructor(
    prompt: ArrayLike<number>,
    readonly longest: number,
    readonly never: number | undefined,
  ) {
    this.#all = Array.from(prompt)
    this.#prompt = prompt.length
  }

  propose({ ids }: Continuation, n: number): Promise<Guess> {
    const all = this.#all
    for (let i = all.length - this.#prompt; i < ids.length; i++) all.push(ids[i]!)
    const found = all.slice(this.#match(), all.length).slice(0, n)
    const end = this.never === undefined ? -1 : found.indexOf(this.never)
    return Promise.resolve(guess(end < 0 ? found : found.slice(0, end)))
  }

  /** Behind the longest, and of equals the latest, of the places that end as the text does; the end where there is none. */
  #match(): number {
    const all = this.#all
    let [most, place] = [0, all.length]
    for (let end = all.length - 1; end > 0 && most < this.longest; end--) {
      let same = 0
      while (same < this.longest && same < end && all[end - 1 - same] === all.at(-1 - same)) same++
      if (same > most) [most, place] = [same, end]
    }
    return place
  }

  dispose(): void {}
}
