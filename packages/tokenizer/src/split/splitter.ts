/** Cuts UTF-8 text into the words that BPE merges within. */
export interface Splitter {
  /** The end of the word that begins at `start`, where one ended before; `start < end`, and the result is above `start`. */
  next(bytes: Uint8Array, start: number, end: number): number
}

/** No cutting: one word. */
export const WHOLE: Splitter = { next: (_, __, end) => end }
