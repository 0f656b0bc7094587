import { expect, test } from 'vitest'
import { HeldClock } from '../../testing/held-clock.ts'
import { Admission } from './admission.ts'
import type { BudgetHolder } from './caller-budget.ts'

const mib = 1024 * 1024

/** A caller that never stalls. */
function caller(receivedBytes = 0): BudgetHolder {
  const { signal } = new AbortController()
  return { signal, movedBytes: receivedBytes, isWaitingForCaller: false, abandon: () => undefined }
}

function plain(sizeBytes: number): { readonly sizeBytes: number; readonly isCompressed: boolean } {
  return { sizeBytes, isCompressed: false }
}

/** How many calls of a kind are let in at once, each with a message like `message`. */
function letIn(
  message: { readonly sizeBytes: number; readonly isCompressed: boolean },
  { requests, receivedBytes = 0 }: { requests: 'one' | 'many'; receivedBytes?: number },
): number {
  const admission = new Admission(new HeldClock())
  for (let count = 0; count < 500; count += 1) {
    const pending = admission.gate(caller(receivedBytes), requests)(message)
    if (pending !== undefined) return count
  }
  return Infinity
}

test('small calls are let in at once, however many they are', () => {
  expect(letIn(plain(64 * 1024), { requests: 'one' })).toBe(Infinity)
  expect(letIn(plain(64 * 1024), { requests: 'many' })).toBe(Infinity)
})

test('messages that may be put together have 256 MiB in all, as large as they may become', () => {
  expect(letIn(plain(16 * mib), { requests: 'one' })).toBe(16)
  expect(letIn({ sizeBytes: 100_000, isCompressed: true }, { requests: 'one' })).toBe(12)
})

test('large uploads are a hundred at once, by what they have sent, not by the size of a message', () => {
  expect(letIn(plain(mib), { requests: 'many' })).toBe(100)
  expect(letIn(plain(1000), { requests: 'many', receivedBytes: mib })).toBe(100)
})

test('a call holds one message at a time, and nothing after its end', async () => {
  const admission = new Admission(new HeldClock())
  const first = caller()
  const gate = admission.gate(first, 'many')
  for (let count = 0; count < 1000; count += 1) expect(gate(plain(20 * mib))).toBeUndefined()
  const waiting: Promise<void>[] = []
  for (let count = 0; count < 12; count += 1) {
    const pending = admission.gate(caller(), 'one')(plain(20 * mib))
    if (pending !== undefined) waiting.push(pending)
  }
  expect(waiting).toHaveLength(1)
  admission.release(first)
  await Promise.all(waiting)
})
