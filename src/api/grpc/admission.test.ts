import { expect, test } from 'vitest'
import { HeldClock } from '../../testing/held-clock.ts'
import { Admission } from './admission.ts'
import type { BudgetHolder } from './caller-budget.ts'

const mib = 1024 * 1024

/** A caller that never stalls, on a connection of its own unless one is given. */
function caller(movedBytes = 0, connection: object = {}): BudgetHolder {
  const { signal } = new AbortController()
  return {
    connection,
    signal,
    movedBytes,
    isWaitingForCaller: false,
    abandon: () => undefined,
  }
}

function plain(sizeBytes: number): { readonly sizeBytes: number; readonly isCompressed: boolean } {
  return { sizeBytes, isCompressed: false }
}

/** How many calls of a kind are let in at once, each with a message like `message`. */
function letIn(
  message: { readonly sizeBytes: number; readonly isCompressed: boolean },
  {
    requests,
    receivedBytes = 0,
    connection,
  }: {
    readonly requests: 'one' | 'many'
    readonly receivedBytes?: number
    readonly connection?: object
  },
): number {
  const admission = new Admission(new HeldClock())
  for (let count = 0; count < 5000; count += 1) {
    const pending = admission.gate(caller(receivedBytes, connection), requests).open(message)
    if (pending !== undefined) return count
  }
  return Infinity
}

test('tiny calls are let in at once, however many they are; light ones have 64 MiB of their own', () => {
  expect(letIn(plain(4 * 1024), { requests: 'one' })).toBe(Infinity)
  expect(letIn(plain(64 * 1024), { requests: 'one' })).toBe(1024)
  expect(letIn(plain(64 * 1024), { requests: 'many' })).toBe(1024)
})

test('messages that may be put together have 256 MiB in all, as large as they may become', () => {
  expect(letIn(plain(16 * mib), { requests: 'one' })).toBe(16)
  expect(letIn({ sizeBytes: 100_000, isCompressed: true }, { requests: 'one' })).toBe(12)
})

test('large uploads are 128 at once, by what they have sent, not by the size of a message', () => {
  expect(letIn(plain(100_000), { requests: 'many' })).toBe(128)
  expect(letIn(plain(1000), { requests: 'many', receivedBytes: mib })).toBe(128)
})

test('one connection has a hundred large uploads, and three quarters of the rest', () => {
  const connection = {}
  expect(letIn(plain(100_000), { requests: 'many', connection })).toBe(100)
  expect(letIn(plain(16 * mib), { requests: 'one', connection })).toBe(12)
  expect(letIn(plain(64 * 1024), { requests: 'one', connection })).toBe(768)
})

test('a light request that is whole counts no more, however long its call waits', () => {
  const admission = new Admission(new HeldClock())
  for (let count = 0; count < 5000; count += 1) {
    const one = caller()
    expect(admission.gate(one, 'one').open(plain(64 * 1024))).toBeUndefined()
    admission.isWhole(one)
  }
})

test('a call holds one message at a time, and nothing after its end', async () => {
  const admission = new Admission(new HeldClock())
  const first = caller()
  const gate = admission.gate(first, 'many')
  for (let count = 0; count < 1000; count += 1) expect(gate.open(plain(20 * mib))).toBeUndefined()
  const waiting: Promise<void>[] = []
  for (let count = 0; count < 12; count += 1) {
    const pending = admission.gate(caller(), 'one').open(plain(20 * mib))
    if (pending !== undefined) waiting.push(pending)
  }
  expect(waiting).toHaveLength(1)
  admission.release(first)
  await Promise.all(waiting)
})
