import { expect, test } from 'vitest'

import type { PipelineName } from '../../base/names.ts'
import { checkTransform } from './transform-check.ts'

function check(environment: Readonly<Record<string, string>>): unknown {
  const requested = {
    image: '',
    command: ['true'],
    stdinLines: [],
    environment,
    acceptedReturnCodes: [],
    secrets: [],
    imagePullSecrets: [],
    debug: false,
  }
  return checkTransform('p' as PipelineName, requested).environment
}

test('variables that say whose run it is are refused, with advice', () => {
  for (const name of ['PFS', 'PACH_JOB_ID', 'PACH_X', 'PPS_PIPELINE_NAME']) {
    expect(() => check({ A: '', [name]: '' })).toThrow(
      `pipeline p: transform.env has "${name}", which says whose run it is; choose another name`,
    )
  }
})

test('other variables are taken', () => {
  const environment = { HOME: '/', PACHYDERM: '', words: '', words_COMMIT: '', WORDS: '' }
  expect(check(environment)).toEqual(environment)
})

test('a variable that the kernel gives no program is refused', () => {
  expect(() => check({ LONG: 'x'.repeat(131_067) })).toThrow(
    'pipeline p: transform.env has 131072 bytes in "LONG"',
  )
})
