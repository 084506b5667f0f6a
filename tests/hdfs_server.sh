#!/bin/sh
# Runs a command beside a real HDFS: a name node and a data node of Hadoop, in one process on loopback.
#
#   tests/hdfs_server.sh DIR make test
#
# DIR gets the Java packages from Maven Central (110 MB, the first time), and the data while the server runs. The command
# finds the address in HDFS_NAMENODE. The server ends with the command. Needs Java 17 and Maven.
set -eu
for command in java mvn; do
  if ! command -v "$command" > /dev/null; then
    echo "error: $command is missing: apt-get install openjdk-17-jre-headless maven" >&2
    exit 1
  fi
done
directory=$1
shift
mkdir -p "$directory/lib"
directory=$(cd "$directory" && pwd)
if [ ! -e "$directory/lib/complete" ]; then
  cat > "$directory/pom.xml" <<'POM'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>seg-pipeline</groupId>
  <artifactId>hdfs-server</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.hadoop</groupId>
      <artifactId>hadoop-client-minicluster</artifactId>
      <version>3.5.0</version>
    </dependency>
  </dependencies>
</project>
POM
  mvn --quiet --batch-mode --file "$directory/pom.xml" dependency:copy-dependencies -DoutputDirectory="$directory/lib"
  touch "$directory/lib/complete"
fi

run=$(mktemp -d "$directory/run.XXXXXX")
server=
stop() {
  if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
  rm -rf "$run"
}
trap stop EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# Ports are free ones, written into the configuration when both nodes are up.
java -Djava.io.tmpdir="$run" -Xmx512m -XX:-UsePerfData -XX:TieredStopAtLevel=1 -Djava.net.preferIPv4Stack=true \
  -cp "$directory/lib/*" org.apache.hadoop.test.MiniDFSClusterManager -format -writeConfig "$run/conf.xml" \
  -D hdfs.minidfs.basedir="$run/data" -D dfs.permissions.enabled=false > "$run/log" 2>&1 &
server=$!
tries=0
# The file is not renamed into place, so its last line tells that it is complete.
until grep -qs '</configuration>' "$run/conf.xml"; do
  tries=$((tries + 1))
  if [ "$tries" -gt 240 ] || ! kill -0 "$server" 2>/dev/null; then
    echo "HDFS did not start:" >&2
    tail -n 20 "$run/log" >&2
    exit 1
  fi
  sleep 0.5
done
address=$(sed -n 's:.*<name>dfs.namenode.http-address</name><value>\([^<]*\)<.*:\1:p' "$run/conf.xml" | head -n 1)
HDFS_NAMENODE=$address "$@"
