import { hexBytes, hexText } from '../base/bytes.ts'
import { DataLossError } from '../base/errors.ts'
import { contentHash } from '../storage/content-hash.ts'
import type { Content } from '../storage/contents.ts'
import { decodeContent, encodeContent } from './staging/staged-bytes.ts'

/** The version of the names that say where a content is. */
const nameVersion = '01'
const hashDigits = 64
/** Of an inline content, the longest: hash, version, tag, size and 64 bytes. */
const nameDigitsMax = hashDigits + 2 + 2 + 2 + 128

/**
 * The name of a content that no row knows, such as a file's: its hash, then in lower-case hex where
 * it is, so that whoever has the name can read it. Equal contents have equal names.
 */
export function objectName(content: Content): string {
  return `${hexText(contentHash(content))}${nameVersion}${hexText(encodeContent(content))}`
}

/** Undefined when `name` is none that `objectName` gives. */
export function contentOfName(name: string): Content | undefined {
  if (name.length > nameDigitsMax || !/^[0-9a-f]{64}01([0-9a-f]{2})+$/.test(name)) return undefined
  try {
    const content = decodeContent(hexBytes(name.slice(hashDigits + nameVersion.length)))
    return objectName(content) === name ? content : undefined
  } catch (error) {
    if (error instanceof DataLossError) return undefined
    throw error
  }
}

/** Whether an object of that name may have the content: by its hash, or by where it is. */
export function isNameOf(name: string, content: Content): boolean {
  return name === hexText(contentHash(content)) || name === objectName(content)
}
