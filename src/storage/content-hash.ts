import { createHash, hash } from 'node:crypto'
import { unreachable } from '../base/errors.ts'
import { chunkIdBytes } from './chunk-id.ts'
import type { Content } from './contents.ts'

/** Keeps the hash of a chunk list from ever being that of a file whose bytes are a list's name. */
const listDomain = 'pachyderm-ts chunk list v1\0'

/**
 * 32 bytes: equal contents have equal hashes. SHA-256 of the bytes when they fit in one chunk, else
 * SHA-256 of a domain text and the root of the chunk list. Vectors: `docs/formats/file-trees.md`.
 */
export function contentHash(content: Content): Uint8Array {
  switch (content.kind) {
    case 'inline':
      return hash('sha256', content.bytes, 'buffer')
    case 'chunk':
      return chunkIdBytes(content.chunk)
    case 'list':
      return createHash('sha256').update(listDomain).update(chunkIdBytes(content.root)).digest()
    default:
      return unreachable(content)
  }
}
