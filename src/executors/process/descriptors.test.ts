import { expect, test } from 'vitest'

import { ResourceExhaustedError } from '../../base/errors.ts'
import { Descriptors, slotDescriptorsMax } from './descriptors.ts'

test('a slot that opens leaves descriptors to the server, and to other slots that open', () => {
  let openCount = 80
  const descriptors = new Descriptors(240, () => openCount)
  const first = descriptors.take()
  const second = descriptors.take()
  descriptors.take()
  descriptors.take()
  expect(() => descriptors.take()).toThrow(ResourceExhaustedError)
  expect(() => descriptors.take()).toThrow(
    'of the 240 that it may have: raise that limit (ulimit -n',
  )
  first[Symbol.dispose]()
  openCount += slotDescriptorsMax
  expect(() => descriptors.take()).toThrow('parallelism_spec')
  second[Symbol.dispose]()
  expect(() => descriptors.take()).not.toThrow()
})

test('where nothing is known of a bound, there is none', () => {
  expect(() => new Descriptors(Number.POSITIVE_INFINITY).take()).not.toThrow()
})
