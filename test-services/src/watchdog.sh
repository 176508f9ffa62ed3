# Cleans up after a test process, however it ends: its end closes the pipe that is our input.
# $0 is the folder of its servers, each of which has written its process id there.
while read -r _; do :; done
for file in "$0"/*/pid; do
    if read -r pid <"$file"; then kill -KILL "$pid"; fi
done 2>/dev/null
# PostgreSQL ends at once, and frees its shared memory.
for file in "$0"/*/postmaster; do
    if read -r pid <"$file"; then kill -QUIT "$pid"; fi
done 2>/dev/null
# A broker that is just dying may still write.
tries=100
until rm -rf "$0" 2>/dev/null || [ $((tries -= 1)) = 0 ]; do sleep 0.05; done
