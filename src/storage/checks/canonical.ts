import { concatBytes } from '../../base/bytes.ts'
import { BoundaryRule } from '../prolly/boundaries.ts'
import { type Node, nodeHeaderBytes, nodeVersion } from '../prolly/node.ts'
import { varintSize, writeVarint } from '../../base/wire-writer.ts'

// The form that equal maps have, from docs/formats/prolly-trees.md: written a second time, so that a
// mistake of the writer shows.

/** What is wrong with where a node ends, as far as it alone can tell. */
export function boundaryProblem(node: Node): string | undefined {
  const rule = new BoundaryRule(node.level)
  for (let index = 0; index < node.count - 1; index += 1) {
    if (ends(rule, node, index)) return `it should end after its entry ${index}`
  }
  return undefined
}

/** Whether a node may be followed by another one of its level. */
export function endsByRule(node: Node): boolean {
  const rule = new BoundaryRule(node.level)
  let last = false
  for (let index = 0; index < node.count; index += 1) last = ends(rule, node, index)
  return last
}

function ends(rule: BoundaryRule, node: Node, index: number): boolean {
  const valueBytes = node.valueEnd(index) - node.valueStart(index)
  return rule.endsAfter(node.keys, node.keyStart(index), node.keyEnd(index), valueBytes)
}

/** The node as it should be written. */
export function canonicalBytes(node: Node): Uint8Array {
  const parts: Uint8Array[] = [header(node)]
  let before = new Uint8Array(0)
  for (let index = 0; index < node.count; index += 1) {
    const key = node.keyAt(index)
    const shared = index === 0 ? 0 : sharedBytes(before, key)
    const value = node.valueAt(index)
    const sizes = [shared, key.length - shared]
    if (node.level === 0) sizes.push(value.length)
    parts.push(varints(sizes), key.subarray(shared), value)
    if (node.level > 0) parts.push(varints([node.entryCountAt(index)]))
    before = new Uint8Array(key)
  }
  return concatBytes(parts)
}

function header({ level, count }: Node): Uint8Array {
  const bytes = new Uint8Array(nodeHeaderBytes)
  bytes.set([nodeVersion, level, count & 0xff, count >> 8])
  return bytes
}

function varints(numbers: readonly number[]): Uint8Array {
  let size = 0
  for (const number of numbers) size += varintSize(number)
  const bytes = new Uint8Array(size)
  let at = 0
  for (const number of numbers) at = writeVarint(bytes, at, number)
  return bytes
}

function sharedBytes(left: Uint8Array, right: Uint8Array): number {
  const most = Math.min(left.length, right.length)
  let count = 0
  while (count < most && left[count] === right[count]) count += 1
  return count
}
