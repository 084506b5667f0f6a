#!/bin/sh
# Runs a real HDFS (Hadoop 2.7.3: a name node and a data node) on loopback, from PyPI and Debian 12 alone, in directory $1:
#   tests/hdfs_server.sh /tmp/hdfs &
#   HDFS_NAMENODE=127.0.0.1:50070 python -m pytest tests/beam_jobs/object_store_test.py tests/seg_pipeline/storage_test.py -k hdfs
# pyspark 2.4.8 is the last that holds the server's classes; jersey 1, which it lacks, is Debian's.
set -eu
python=$(cd "$(dirname "$0")/.." && pwd)/.venv/bin/python
mkdir -p "$1/lib" "$1/conf/webapps/hdfs" "$1/conf/webapps/datanode"
cd "$1"
if [ ! -e lib/jersey1-core.jar ]; then
  apt-get install -y openjdk-17-jre-headless libjersey1-core-java libjersey1-server-java libjersey1-servlet-java \
    libjersey1-json-java libjsr311-api-java libcommons-daemon-java
  "$python" -m pip download --no-deps --no-binary :all: pyspark==2.4.8
  tar xzf pyspark-2.4.8.tar.gz
  for name in avro-1 commons guava hadoop htrace http jackson-core-asl jackson-mapper-asl javax.servlet-api jaxb-api \
    jetty-6 jetty-util jsr305 leveldbjni log4j-1 netty protobuf-java slf4j xercesImpl xmlenc; do
    cp pyspark-2.4.8/deps/jars/$name*.jar lib/
  done
  rm -r pyspark-2.4.8
  for name in jsr311-api commons-daemon jersey1-json jersey1-servlet jersey1-server jersey1-core; do
    cp "/usr/share/java/$name.jar" lib/
  done
fi
property() { echo "<property><name>$1</name><value>$2</value></property>"; }
{
  echo '<configuration>'
  property fs.defaultFS hdfs://127.0.0.1:9000
  property hadoop.tmp.dir "$PWD/data"
  echo '</configuration>'
} > conf/core-site.xml
{
  echo '<configuration>'
  property dfs.replication 1
  property dfs.permissions.enabled false
  property dfs.namenode.http-address 127.0.0.1:50070
  property dfs.datanode.address 127.0.0.1:50010
  property dfs.datanode.http.address 127.0.0.1:50075
  property dfs.datanode.ipc.address 127.0.0.1:50020
  property dfs.datanode.hostname 127.0.0.1
  echo '</configuration>'
} > conf/hdfs-site.xml
server() {
  class=$1
  shift
  # Hadoop 2.7 is of the time of Java 7: what it looks into has to be opened.
  exec java --add-opens java.base/java.lang=ALL-UNNAMED --add-opens java.base/java.nio=ALL-UNNAMED \
    --add-exports java.security.jgss/sun.security.krb5=ALL-UNNAMED -Djava.net.preferIPv4Stack=true -Xmx512m \
    -cp 'conf:lib/*' "org.apache.hadoop.hdfs.server.$class" "$@"
}
[ -d data ] || (server namenode.NameNode -format)
(server namenode.NameNode) &
sleep 5
server datanode.DataNode
