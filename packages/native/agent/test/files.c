/* The program for files as it is started in a guest, on the host under sanitizers. */
#include "file_service.h"

int main(int argc, char **argv)
{
	return file_service(argc, argv);
}
