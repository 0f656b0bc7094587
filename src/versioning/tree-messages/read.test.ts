import { expect, test } from 'vitest'
import { concatBytes, utf8 } from '../../base/bytes.ts'
import { InvalidArgumentError } from '../../base/errors.ts'
import { readTreeMessage } from './read.ts'
import { tags } from './tags.ts'

/** A field of up to 127 bytes. */
function field(tag: number, bytes: Uint8Array): Uint8Array {
  return concatBytes([Uint8Array.of(tag, bytes.length), bytes])
}

function file(path: string): Uint8Array {
  const object = field(tags.object, field(tags.objectHash, utf8('ab')))
  const node = field(tags.node, field(tags.file, object))
  return field(tags.entry, concatBytes([field(tags.key, utf8(path)), node]))
}

function directory(path: string, ...children: readonly string[]): Uint8Array {
  const names = children.map((name) => field(tags.child, utf8(name)))
  const node = field(tags.node, field(tags.directory, concatBytes(names)))
  return field(tags.entry, concatBytes([field(tags.key, utf8(path)), node]))
}

function message(...entries: readonly Uint8Array[]): Uint8Array {
  return concatBytes([Uint8Array.of(tags.version, 1), ...entries])
}

test('a tree message tells files and directories', () => {
  const nodes = readTreeMessage(message(directory('', 'd'), directory('/d', 'f'), file('/d/f')))
  expect(nodes.map(({ path, objects }) => [path, objects])).toEqual([
    ['', undefined],
    ['/d', undefined],
    ['/d/f', ['ab']],
  ])
})

test.for([
  ['a child of which nothing is said', message(directory('', 'x')), 'holds "x", of which'],
  ['a child without a name', message(directory('', '')), 'holds "", of which'],
  ['a file as the root', message(file('')), 'the root of a tree message is a file'],
  ['another version', Uint8Array.of(tags.version, 2), 'version 2'],
] as const)('a tree message with %s is refused', ([, bytes, text]) => {
  expect(() => readTreeMessage(bytes)).toThrow(InvalidArgumentError)
  expect(() => readTreeMessage(bytes)).toThrow(text)
})
