"""What S3 alone can do wrong."""

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from botocore import awsrequest

from seg_pipeline import errors, storage
from tests import s3_server


def test_more_entries_than_a_page_of_the_listing(bucket):
    for number in range(1001):
        bucket.put(f'many/{number:04d}', b'')
    assert storage.names(f'{bucket.url}/many') == [f'{number:04d}' for number in range(1001)]


def test_an_upload_that_breaks_off_leaves_no_parts_to_pay_for(bucket, broken_file):
    with pytest.raises((OSError, KeyboardInterrupt)):
        storage.of(bucket.url).put(broken_file, f'{bucket.url}/x')
    assert bucket.client.list_multipart_uploads(Bucket=s3_server.BUCKET).get('Uploads', []) == []


def test_a_missing_bucket_and_a_server_that_does_not_answer(bucket):
    storage.check(bucket.url)
    with pytest.raises(errors.UserError, match=r's3://no-such-bucket/x: cannot be used: .*Not Found'):
        storage.check('s3://no-such-bucket/x')
    with pytest.raises(OSError, match='does not exist') as caught:
        storage.names('s3://no-such-bucket/x')
    assert not isinstance(caught.value, FileNotFoundError)  # it is not the data that is missing
    storage.configure(PipelineOptions(['--s3_endpoint_url=http://127.0.0.1:9', *bucket.flags[1:]]))
    with pytest.raises(errors.UserError, match='cannot be used: Could not connect'):
        storage.check(bucket.url)


def test_credentials_of_the_environment(bucket, monkeypatch):
    storage.configure(None)
    for name, value in bucket.environment('').items():
        monkeypatch.setenv(name, value)
    storage.write(f'{bucket.url}/x', b'1')
    assert bucket.get('x') == b'1'


def _ignore(request, **_):
    del request.headers['If-None-Match']


def _refuse(request, **_):
    body = b'<Error><Code>NotImplemented</Code><Message>A header is not implemented</Message></Error>'
    raw = type('Raw', (), {'stream': lambda self, *_: iter([body]), 'close': lambda self: None})()
    return awsrequest.AWSResponse(request.url, 501, {}, raw)


@pytest.mark.parametrize(
    ('event', 'server', 'message'),
    [
        ('before-sign.s3.PutObject', _ignore, 'the server ignores conditional writes'),
        ('before-send.s3.PutObject', _refuse, 'the server has no conditional writes'),
    ],
    ids=['ignored', 'not implemented'],
)
def test_a_server_without_conditional_writes_is_named(bucket, event, server, message):
    storage.of(bucket.url)._client.meta.events.register(event, server)
    address = f'{bucket.url}/x'
    with pytest.raises(errors.UserError, match=rf'^{address}: cannot be written: {message} \(If-None-Match\)'):
        _create(address)
    assert bucket.names() == []


def _create(address):
    with storage.writing(address):
        storage.create(address, b'1')
