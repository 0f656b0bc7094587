import { expect, test } from 'vitest'
import { Nodes, placeOf } from './nodes.ts'

const version = { hash: 'a', commitId: '1', sizeBytes: 3, changedAt: 5 }

test('a name has one node for each content, and keeps it while the kernel knows it', () => {
  const nodes = new Nodes()
  const directory = nodes.directory(nodes.top, 'repo')
  const first = nodes.version(directory, 'f', { ...version })
  first.lookupCount = 2
  const again = nodes.version(directory, 'f', { ...version, commitId: '2' })
  expect([again === first, first.version?.commitId]).toEqual([true, '2'])
  expect(nodes.seenIn('2', directory, 'f')).toBe(first)
  const other = nodes.version(directory, 'f', { ...version, hash: 'b', commitId: '3' })
  expect([other.id === first.id, other.inode]).toEqual([false, first.inode])
  expect(nodes.seenIn('2', directory, 'f')).toBeUndefined()
  nodes.forget(first.id, 1)
  expect(nodes.byId(first.id)).toBe(first)
  nodes.forget(first.id, 1)
  expect(nodes.byId(first.id)).toBeUndefined()
  expect(nodes.seenIn('3', directory, 'f')).toBe(other)
})

test('what is open stays when the kernel forgets its name', () => {
  const nodes = new Nodes()
  const file = nodes.openFile(nodes.directory(nodes.top, 'repo'), 'f', 0)
  file.lookupCount = 1
  file.openCount = 1
  nodes.forget(file.id, 1)
  expect(nodes.byId(file.id)).toBe(file)
  nodes.closed(file)
  expect(nodes.byId(file.id)).toBeUndefined()
})

test('what is moved takes along what is below it', () => {
  const nodes = new Nodes()
  const commit = nodes.directory(nodes.directory(nodes.top, 'repo'), 'master')
  const directory = nodes.directory(commit, 'd')
  const file = nodes.openFile(directory, 'f', 0)
  nodes.moved(directory, commit, 'e')
  expect(placeOf(file)).toEqual({ repo: 'repo', ref: 'master', path: '/e/f' })
  expect(nodes.knownDirectory(commit, 'd')).toBeUndefined()
  expect(nodes.knownDirectory(commit, 'e')).toBe(directory)
})

test('with too many nodes, the oldest files leave, each asked once, and no directory', () => {
  const nodes = new Nodes()
  const directory = nodes.directory(nodes.top, 'repo')
  for (let at = 0; at < 199_999; at += 1) nodes.openFile(directory, String(at), 0).lookupCount = 1
  nodes.openFile(directory, '1', 0).openCount = 1
  const leaving = nodes.leaving()
  expect([leaving.length, leaving[0]?.name, leaving[1]?.name]).toEqual([1000, '0', '2'])
  expect(nodes.leaving()[0]?.name).toBe('1001')
  for (const { id } of leaving) nodes.forget(id, 1)
  expect(nodes.leaving()).toEqual([])
})

test('lists are told to make no more nodes when there are far too many', () => {
  const nodes = new Nodes()
  for (let at = 0; at < 399_998; at += 1) nodes.openFile(nodes.top, String(at), 0)
  expect(nodes.isFull).toBe(false)
  nodes.openFile(nodes.top, 'one more', 0)
  expect(nodes.isFull).toBe(true)
})
