// Scenes as samples: drawn, normalised, with captions or questions.
import { normalizePixels, visualTokens, type EncodedImage } from '@shakti/vlm'
import { type Artist, type Drawings } from './data/artists.js'
import { caption, describeRequest } from './data/questions.js'
import { questionsAbout } from './data/corpus.js'
import { Random } from './data/random.js'
import { composeScene, drawScene, size, type Scene } from './data/scenes.js'
import type { ChatEncoder, ChatSample } from './tokens.js'

export interface Picture {
  readonly scene: Scene
  /** RGB, for the report. */
  readonly rgb: Uint8Array
  readonly image: EncodedImage
  readonly tokens: number
}

export interface PictureOptions {
  readonly drawings: Drawings
  readonly artists: readonly Artist[]
  readonly augment: boolean
  readonly merge: number
}

/** A picture at one of the patch sizes. */
export function drawPicture(
  scene: Scene,
  random: Random,
  patch: number,
  { drawings, artists, augment, merge }: PictureOptions,
): Picture {
  const rgb = drawScene(scene, drawings, random, { artists, augment })
  const image = { pixels: normalizePixels(rgb), height: size, width: size, patch }
  return { scene, rgb, image, tokens: visualTokens(image, merge) }
}

/** A new scene, the i-th of a seed. */
export function makePicture(
  seed: number,
  i: number,
  patch: number,
  options: PictureOptions,
): Picture {
  const random = new Random(seed, 2, i)
  return drawPicture(composeScene(random), random, patch, options)
}

/** The picture and a caption that names every cell. */
export function captionSample(picture: Picture, chat: ChatEncoder): ChatSample {
  return chat.dialogue([{ user: describeRequest, assistant: caption(picture.scene) }], {
    image: picture,
  })
}

/** The picture and several questions in one dialogue. */
export function questionSample(
  picture: Picture,
  chat: ChatEncoder,
  n: number,
  random: Random,
): ChatSample {
  const turns = questionsAbout(picture.scene, n, random).map((q) => ({
    user: q.text,
    assistant: q.answer,
  }))
  return chat.dialogue(turns, { image: picture })
}
