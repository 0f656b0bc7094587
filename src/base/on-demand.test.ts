import { expect, test } from 'vitest'
import { onDemand } from './on-demand.ts'

test('what is made on demand is made once, however many ask', async () => {
  let count = 0
  const part = onDemand(async () => {
    count += 1
    return { count }
  })
  expect(count).toBe(0)
  const [first, second] = await Promise.all([part(), part()])
  expect(first).toBe(second)
  expect(await part()).toEqual({ count: 1 })
})

test('what could not be made is tried again', async () => {
  const answers = [new Error('no'), undefined]
  const part = onDemand(async () => {
    const error = answers.shift()
    if (error !== undefined) throw error
    return 'made'
  })
  await expect(Promise.all([part(), part()])).rejects.toThrow('no')
  expect(await part()).toBe('made')
})
