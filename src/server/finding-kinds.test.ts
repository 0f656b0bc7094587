import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { databaseFindings } from '../database/database-findings.ts'
import { pipelinesFindings } from '../pipelines/pipelines-findings.ts'
import { storageFindings } from '../storage/storage-findings.ts'
import { versioningFindings } from '../versioning/versioning-findings.ts'
import { directoryFindings } from './directory-findings.ts'

test('every kind of finding has its line in docs/storage.md, and no other has', () => {
  const tables = [
    databaseFindings,
    directoryFindings,
    pipelinesFindings,
    storageFindings,
    versioningFindings,
  ]
  const names = tables.flatMap((table) => Object.keys(table))
  expect(new Set(names).size).toBe(names.length)
  const text = readFileSync(new URL('../../docs/storage.md', import.meta.url), 'utf8')
  const lines = text.split('\n').filter((line) => /^\| `[a-z]+-[a-z-]+`/.test(line))
  const told = lines.flatMap((line) => [...(line.split('|')[1] ?? '').matchAll(/`([a-z-]+)`/g)])
  expect(told).toHaveLength(names.length)
  expect(new Set(told.map(([, name]) => name))).toEqual(new Set(names))
})
