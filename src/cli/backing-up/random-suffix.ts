import { SystemRandom } from '../../base/random.ts'

/** For the name of a file that nobody else makes. */
export function randomSuffix(): Uint8Array {
  return new SystemRandom().bytes(8)
}
