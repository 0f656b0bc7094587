import { expect, test } from 'vitest'
import { utf8 } from '../../base/bytes.ts'
import { toBinary } from '@bufbuild/protobuf'
import { JobInfoSchema, JobState, PipelineInfoSchema, PipelineState } from '../../gen/pps_pb.ts'
import { RepoInfoSchema } from '../../gen/pfs_pb.ts'
import { decodeRecord } from './decode-message.ts'

test('text has escapes byte by byte, maps, lists and messages', () => {
  const text = `id:"3659" pipeline:<name:"with-env" > version:1 transform:<cmd:"bash" env:<key:"EMPTY" value:"" > env:<key:"G" value:"a \\"b\\" \\303\\251\\n" > accept_return_code:7 accept_return_code:9 debug:true > job_counts:<key:0 value:0 > job_counts:<key:3 value:3 > state:PIPELINE_STOPPED outputBranch:"out" scaleDownThreshold:<seconds:60 > resource_spec:<cpu:0.25 memory:"64M" > input:<atom:<repo:"left" glob:"/*" > > `
  const { message } = decodeRecord(PipelineInfoSchema, utf8(text))
  expect(message.pipeline?.name).toBe('with-env')
  expect(message.transform?.env).toEqual({ EMPTY: '', G: 'a "b" é\n' })
  expect(message.transform?.acceptReturnCode).toEqual([7n, 9n])
  expect(message.jobCounts).toEqual({ 0: 0, 3: 3 })
  expect(message.state).toBe(PipelineState.PIPELINE_PAUSED)
  expect(message.outputBranch).toBe('out')
  expect(message.scaleDownThreshold?.seconds).toBe(60n)
  expect(message.resourceSpec?.cpu).toBe(0.25)
  expect(message.input?.atom?.glob).toBe('/*')
})

test('fields that are gone are passed over, and given', () => {
  const text = `job:<id:"j" > pipeline_id:"abc" stopped:true state:JOB_STOPPED error:"boom" inputs:<commit:<repo:<name:"in" > id:"c" > glob:"/" lazy:true name:"in" > parallelism_spec:<strategy:COEFFICIENT coefficient:inf > `
  const { message, extras } = decodeRecord(JobInfoSchema, utf8(text))
  expect(message.state).toBe(JobState.JOB_KILLED)
  expect(message.inputs[0]?.commit?.id).toBe('c')
  expect(message.parallelismSpec?.coefficient).toBe(Infinity)
  expect([...extras.keys()]).toEqual(['pipeline_id', 'stopped', 'error'])
})

test.each([
  ['braces and separators', `repo { name: "a" }; description: 'x' # said\n, size_bytes: 0x10`],
  ['literals in a row', `repo:<name:"a"> description: "" 'x' size_bytes:16`],
])('text of other writers is read, too: %s', (_, text) => {
  const { message } = decodeRecord(RepoInfoSchema, utf8(text))
  expect([message.repo?.name, message.description, message.sizeBytes]).toEqual(['a', 'x', 16n])
})

test('the binary form is known by its beginning', () => {
  const { message } = decodeRecord(RepoInfoSchema, utf8('repo:<name:"a" > description:"d" '))
  expect(decodeRecord(RepoInfoSchema, toBinary(RepoInfoSchema, message)).message).toEqual(message)
})

test.each([
  'repo:<name:"a"',
  'repo:<name:"a > ',
  'repo:"a"',
  'size_bytes:many',
  'description:3',
  'repo:<name:"\\q" >',
  'created:<seconds:1',
  'repo:<'.repeat(2000),
])('what is no message is refused: %s', (text) => {
  expect(() => decodeRecord(RepoInfoSchema, utf8(text))).toThrow(
    /no message|wrong kind|whole number/,
  )
})
