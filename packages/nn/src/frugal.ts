// Scopes inside a forward pass: what a layer made and nothing needs any more is freed with the layer, not with the pass.
import { isGradEnabled, tidy, type Tensor } from '@shakti/tensor'

/** What `fn` returns. Where nothing is recorded, all else that it made is freed at its end. */
export function frugal(fn: () => Tensor): Tensor {
  return isGradEnabled() ? fn() : tidy(fn)
}
